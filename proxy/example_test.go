package proxy_test

import (
	"fmt"
	"log"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// A prefix proxy is asked about two candidates of one position.
func ExampleEvaluator() {
	m, err := proxy.Open("testdata/prefix_f16_norm.gguf")
	if err != nil {
		log.Fatal(err)
	}
	hidden := []float32{1, -1, 0.5, 0, 2, -0.5, 1, 0}
	embeddings := map[string][]float32{
		"yes": {0, 1, 0, 1, 0, 1, 0, 1},
		"no":  {3, 0, -3, 0, 3, 0, -3, 0},
	}

	e := proxy.NewEvaluator(m)
	e.SetHidden(hidden)
	for _, token := range []string{"yes", "no"} {
		p := e.Accept(embeddings[token])
		if math.IsNaN(p) {
			log.Fatal("the proxy has no answer")
		}
		fmt.Printf("%s: pi(accept) %.3f, accepted: %t\n", token, p, p >= m.Cutoff)
	}
	// Output:
	// yes: pi(accept) 0.914, accepted: true
	// no: pi(accept) 0.174, accepted: false
}
