package sampler_test

import (
	"fmt"
	"log"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// A proxy that dislikes token 2, over a pool of four: the most probable token
// is rejected, the next one accepted.
func ExampleWalk() {
	logits := []float32{1, 2, 4, 3}
	var pool sampler.Pool
	if err := pool.Build(logits, sampler.Options{Temperature: 1, TopP: 1, PT: 0.01}); err != nil {
		log.Fatal(err)
	}
	proxy := func(token int32) sampler.Action {
		if token == 2 {
			return sampler.Reject
		}
		return sampler.Accept
	}

	var walk sampler.Walk
	walk.Start(&pool)
	for !walk.Forced() {
		c := walk.Candidate()
		action := proxy(c.Token)
		fmt.Printf("rank %d: token %d, p %.3f: %v\n", walk.Rank(), c.Token, c.Prob, action)
		if action == sampler.Accept {
			break
		}
		if err := walk.Reject(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("token", walk.Candidate().Token)
	// Output:
	// rank 0: token 2, p 0.644: reject
	// rank 1: token 3, p 0.237: accept
	// token 3
}

// A grammar's mask is -Inf; top-p 0.9 leaves out the last of the others.
func ExamplePool() {
	masked := float32(math.Inf(-1))
	var pool sampler.Pool
	if err := pool.Build([]float32{3, masked, 4, 0}, sampler.DefaultOptions()); err != nil {
		log.Fatal(err)
	}
	for _, c := range pool.Candidates() {
		fmt.Printf("token %d, p %.3f\n", c.Token, c.Prob)
	}
	fmt.Println("rejections:", pool.Rejections())
	// Output:
	// token 2, p 0.777
	// token 0, p 0.223
	// rejections: 1
}
