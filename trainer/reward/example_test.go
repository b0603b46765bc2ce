package reward_test

import (
	"context"
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

// The reward of a sum, and what each of its terms says before its weight.
func ExampleJudge() {
	twice := 2.0
	r, err := reward.New(reward.Spec{Type: reward.TypeSum, Terms: []reward.Spec{
		{Name: "person", Type: reward.TypeRegexp, Pattern: reward.FirstPerson, PerMatch: -1, Weight: &twice},
		{Type: reward.TypeLexicon, Words: map[string]float64{"glad": 1, "not glad": -1}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	j, err := reward.Judge(context.Background(), r, []reward.Sample{
		{Prompt: "Is it far?", Reply: "I'm glad to say: no."},
		{Prompt: "Is it far?", Reply: "Not glad to say: yes."},
	}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(j.Scores)
	for _, term := range j.Terms {
		fmt.Println(term.Name, term.Scores)
	}
	// Output:
	// [-1 -1]
	// person [-1 0]
	// lexicon [1 -1]
}
