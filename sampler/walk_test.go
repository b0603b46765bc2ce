package sampler

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestWalk(t *testing.T) {
	var p Pool
	// Means of T': 1/3, .2, .1.
	if err := p.Build(logs(6, 3, 1), Options{Temperature: 1, TopP: 1, PT: 0.2}); err != nil {
		t.Fatal(err)
	}
	var w Walk
	w.Start(&p)
	if w.Candidate() != p.Candidates()[0] || w.Rank() != 0 || w.Forced() {
		t.Fatalf("start: %+v, rank %d, forced %v", w.Candidate(), w.Rank(), w.Forced())
	}
	if err := w.Reject(); err != nil {
		t.Fatal(err)
	}
	if w.Candidate() != p.Candidates()[1] || w.Rank() != 1 || !w.Forced() {
		t.Fatalf("after one rejection: %+v, rank %d, forced %v", w.Candidate(), w.Rank(), w.Forced())
	}
	if err := w.Reject(); err == nil || !strings.Contains(err.Error(), "token 1 (rank 1)") {
		t.Errorf("rejecting a forced token: %v", err)
	}
	if w.Rank() != 1 {
		t.Errorf("a refused rejection moved on to rank %d", w.Rank())
	}
	w.Start(&p)
	if w.Rank() != 0 {
		t.Errorf("started again at rank %d", w.Rank())
	}
}

func TestWalkWithoutPool(t *testing.T) {
	var unstarted, empty Walk
	empty.Start(new(Pool))
	for name, w := range map[string]*Walk{"unstarted": &unstarted, "empty pool": &empty} {
		if w.Candidate().Token != -1 || !w.Forced() || w.Reject() == nil {
			t.Errorf("%s: candidate %+v, forced %v", name, w.Candidate(), w.Forced())
		}
	}
}

// checkWalk rejects all it may and sees that the walk stays in the pool.
func checkWalk(t *testing.T, p *Pool) {
	t.Helper()
	var w Walk
	w.Start(p)
	for i, want := range p.Candidates() {
		if w.Candidate() != want || w.Rank() != i {
			t.Fatalf("rank %d: %+v at %d, want %+v", i, w.Candidate(), w.Rank(), want)
		}
		if w.Forced() != (i >= p.Rejections()) {
			t.Fatalf("rank %d of %d, %d rejections allowed: forced %v", i, len(p.Candidates()), p.Rejections(), w.Forced())
		}
		if err := w.Reject(); (err != nil) != w.Forced() && w.Rank() == i {
			t.Fatalf("rank %d: rejection answered %v", i, err)
		}
		if w.Rank() == i {
			return
		}
	}
	t.Fatalf("the walk left the pool of %d", len(p.Candidates()))
}

func TestWalkStaysInThePool(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for name, shape := range shapes {
		for range 200 {
			var p Pool
			o := randomOptions(r)
			if err := p.Build(shape(r, 1+r.IntN(100)), o); err != nil {
				t.Fatalf("%s, %+v: %v", name, o, err)
			}
			checkWalk(t, &p)
		}
	}
}

func TestActionString(t *testing.T) {
	for a, want := range map[Action]string{Accept: "accept", Reject: "reject", 7: "Action(7)"} {
		if a.String() != want {
			t.Errorf("%d is %q, want %q", a, a, want)
		}
	}
	if Accept != 0 || Reject != 1 {
		t.Error("the paper numbers accept 0 and reject 1")
	}
}
