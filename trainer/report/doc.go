// Package report turns run folders into the tables and figures of the paper (Proxy-RLHF, arXiv 2403.04283): its Table 2 (p_t
// against the amount of data) and its Figures 2a (distribution of rewards), 2b (win rates), 3a and 3b (p_t and temperature), 4
// and 5 (distributions and learning curves for each temperature and each p_t), and one page of HTML that holds them all and
// needs nothing from elsewhere. The paper's own numbers stand beside, as those of another model and another reward.
//
// It reads what a run left and never runs anything: what was not measured is left out, and the page says so. It is not for
// drawing (see trainer/plot) nor for following a run that goes on (see TensorBoard).
//
// Values are plain data. Functions keep nothing and may be called from several goroutines at once.
package report
