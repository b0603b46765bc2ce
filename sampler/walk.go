package sampler

import (
	"fmt"
	"strconv"
)

// Action is what a proxy does with a candidate, numbered as in the paper.
type Action uint8

// The paper's two actions.
const (
	Accept Action = 0
	Reject Action = 1
)

// String is "accept", "reject" or, for a value that is neither, "Action(n)".
func (a Action) String() string {
	switch a {
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	}
	return "Action(" + strconv.Itoa(int(a)) + ")"
}

// Walk is the rejection walk at one position: it holds T', the pool less the
// tokens rejected so far. Accepting the current candidate is simply stopping.
//
// The zero value is ready for Start. Before Start, and over a pool that could
// not be built, a walk has no candidate: its token is -1 and it is forced.
type Walk struct {
	pool *Pool
	rank int
}

// Start begins at the most probable candidate of p, which must not be built
// again before the walk is over.
func (w *Walk) Start(p *Pool) { w.pool, w.rank = p, 0 }

// Candidate is the first token of T', with its probability in the whole pool T.
func (w *Walk) Candidate() Candidate {
	if w.pool == nil || w.rank >= len(w.pool.candidates) {
		return Candidate{Token: -1}
	}
	return w.pool.candidates[w.rank]
}

// Rank is the candidate's place in the pool, from 0: the rejections so far.
func (w *Walk) Rank() int { return w.rank }

// Forced reports whether rejection is masked at the current candidate, so that
// it must be accepted and no proxy need be asked.
func (w *Walk) Forced() bool { return w.pool == nil || w.rank >= w.pool.rejections }

// Reject removes the current candidate from T' and moves on to the next. It
// fails, and moves nowhere, if the candidate is forced: a walk never leaves the
// pool.
func (w *Walk) Reject() error {
	if w.Forced() {
		return fmt.Errorf("sampler: reject token %d (rank %d): rejection is masked here; ask Forced first and accept", w.Candidate().Token, w.rank)
	}
	w.rank++
	return nil
}
