// Package learn is the training loop: push the policy to the server, roll episodes out, pay them, update, and now and then
// validate, so that the checkpoint that is exported is the best by evaluation and not the last.
//
// It knows neither how the update works (packages ppo and sac) nor how the LLM is reached (package env), and it prints nothing: it
// reports through [Reporter]. A Loop belongs to one goroutine.
//
// # Which policy collects what
//
// PPO learns from a batch before the next one is rolled out. SAC takes a batch into its buffer and makes the updates that this
// makes due while the next batch is rolled out with the policy from before them: the policy that collects batch n has learnt
// from the batches up to n−2, however long either takes, so that a run can be repeated. Before a validation all updates are
// made. A checkpoint is of a whole batch; what an interrupted run has begun beyond it is begun again.
//
// # Metrics
//
// A line of metrics.jsonl, and a step of the TensorBoard events beside it, is one update or one validation; the step is the
// number of episodes (replies) so far. Names are those of CleanRL (charts, losses) and of TRL's PPO trainer (objective) where
// they have one, and mean the same. All are of the batch that was just rolled out unless the table says otherwise; a decision
// is one where rejection was allowed.
//
//	charts/episodic_return         mean reward of a reply, before costs
//	charts/episodic_length         mean tokens of a reply
//	charts/SPS                     tokens a second of rollout and update together, side by side for SAC ("steps per second")
//	charts/decisions               decisions updated on
//	charts/update_epochs           passes over the batch
//	charts/minibatches             steps of the optimiser
//	charts/updates                 SAC: updates made beside the rollout; like the losses they are of the batches before
//	charts/buffer_size             SAC: decisions in the buffer
//
//	losses/policy_loss             the clipped surrogate, negated: mean of max(−A·r, −A·clip(r, 1−ε, 1+ε))
//	losses/value_loss              half the mean squared error of the critic
//	losses/entropy                 mean entropy of π(accept, reject), nats
//	losses/approx_kl               Schulman's k3, mean of (r−1) − log r, r = π_new/π_old; of the last pass
//	losses/old_approx_kl           k1, mean of −log r; of the last pass
//	losses/clipfrac                share of rows with |r−1| > ε
//	losses/explained_variance      1 − Var(return − value)/Var(return), values from before the update
//	losses/advantage_mean          of the whole batch, before it is normalised
//	losses/advantage_std           of the whole batch, before it is normalised
//	losses/behaviour_gap           largest |log r| before the first step: above 1e-3 the batch is another policy's
//	losses/actor_grad_norm         mean norm before clipping
//	losses/critic_grad_norm        mean norm before clipping
//	losses/qf_loss                 SAC: mean squared error of the critics
//	losses/qf1_loss, losses/qf2_loss  of each
//	losses/qf1_values, losses/qf2_values  mean value of the decisions that were drawn
//	losses/actor_loss              SAC: mean Σ π(a|s) (α log π(a|s) − min Q(s,a))
//	losses/alpha                   SAC: temperature after the updates
//	losses/alpha_loss              SAC: α (H − H̄), the entropy less its target
//
//	objective/scores               mean reward of a reply, before costs
//	objective/kl                   mean over replies of Σ log q − log p over the tokens: proxy and LLM against the LLM
//	                               sampling from the same pool, nats a reply
//	objective/entropy              mean over replies of Σ −log q, nats a reply
//	objective/non_score_reward     mean over replies of what is taken off: the cost of rejections, the KL term
//	objective/rlhf_reward          scores + non_score_reward: what is maximised
//
//	reward                         TRL's (GRPO) name of objective/scores
//	reward_std                     deviation of the batch's rewards, unless there is but one
//	rewards/NAME/mean              of a term that the reward is added up from, before its weight; NAME is the term's name, or
//	                               else its type, such as regexp
//	rewards/NAME/std               its deviation in the batch
//
//	proxy/accept_rate              accepted decisions ÷ decisions
//	proxy/rejections_per_token     rejections ÷ tokens
//	proxy/forced_per_token         tokens that the proxy was not asked about ÷ tokens
//	proxy/forwards_per_token       passes of the LLM ÷ tokens, the prompt's not counted
//	proxy/tokens_per_second        tokens ÷ seconds of rollout
//	proxy/episodes_dropped         replies that the server cut off or the reward failed on
//	proxy/batches_without_decisions  1 where no decision was to be made and so nothing learnt
//
//	eval/reward                    mean reward of the validation prompts' replies, proxy as served
//	eval/rewards/NAME/mean         of a term of it
//	eval/rewards/NAME/std          its deviation
//	eval/perplexity                of these replies under the LLM
//	eval/rejections_per_token      in these replies
//	eval/greedy_reward             of the LLM's greedy replies to the same prompts
//	eval/greedy_perplexity         of those
//
//	time/rollout                   seconds
//	time/update                    seconds
package learn
