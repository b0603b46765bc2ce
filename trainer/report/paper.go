package report

// What the paper prints, of alpaca-7b with the reward model beaver-7b-v1.0-reward on 1,899 test prompts of HH.

// paperTable2 is its Table 2: the mean score on the test set, for p_t and for the amount of training data.
var paperTable2 = table{
	Title:  "The paper's Table 2: mean score by beaver-7b on the test set (alpaca-7b)",
	Header: []string{"p_t", "0.5k", "1k", "1.5k", "2k", "36k"},
	Rows: [][]string{
		{"0.1", "-10.14", "-10.15", "-10.12", "-9.70", "-9.99"},
		{"0.01", "-7.09", "-6.53", "-6.96", "-7.05", "-6.72"},
		{"0.001", "-3.93", "-4.72", "-3.70", "-4.05", "-3.18"},
		{"0.0001", "-3.46", "-4.51", "-3.28", "-4.45", "-2.92"},
	},
}

// paperWinRates are those of its Figure 2b that the text gives, against the SFT model, judged by GPT-4. That of best-of-32, "the
// best results", is only drawn.
var paperWinRates = []struct {
	Name string
	Rate float64
}{{"Proxy-RLHF", 0.6324}, {"RLHF", 0.6124}, {"DPO", 0.4265}}

// paperNote stands wherever the paper's numbers do.
const paperNote = "The paper's numbers are of another model (alpaca-7b), another reward (beaver-7b) and other prompts: their scale says nothing about the numbers here. Compare the trends."
