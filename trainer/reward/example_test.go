package reward_test

import (
	"fmt"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// One reward per token: the "I" that the second piece turns into "It" is paid
// back there, and the rewards sum to the score of the whole reply.
func ExampleDense() {
	r, err := reward.New(reward.Spec{Type: reward.TypeRegexp, Pattern: reward.FirstPerson, PerMatch: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	dense, err := reward.Dense(r.(reward.Prefixer), reward.Trace{Prompt: "Is it far?", Pieces: []string{"I", "t is,", " I", "'m", " afraid", "."}})
	fmt.Println(dense, err)
	// Output: [-1 1 -1 0 0 0] <nil>
}
