package plugin

import "github.com/proxy-rlhf/proxy-rlhf/sampler"

// lookahead decides the candidates whose passes have just been done, and says which ones to feed next.
func (g *Gate) lookahead(passes []Pass) (Step, error) {
	if !g.fed { // the prompt's last token: nothing is proposed yet
		g.noteState(passes[0].Hidden)
		return g.nextPosition(Step{}, passes[0].Logits)
	}
	g.stats.Forwards++
	screen := g.siblings.Exact && len(passes) > 1
	for i, pass := range passes {
		verdict, err := g.judge(pass.Hidden, screen)
		if err != nil {
			return Step{}, err
		}
		switch verdict {
		case accepted:
			step := g.emit()
			step.Kept = i
			g.chosen, g.current = g.current, g.chosen
			if g.host.EndOfSequence(step.Token) {
				step.Next = nil // nothing is proposed after the end
				return step, nil
			}
			g.noteState(pass.Hidden)
			return g.nextPosition(step, pass.Logits)
		case undecided:
			return Step{Kept: -1, Next: g.feed(1)}, nil
		}
		if err := g.walk.Reject(); err != nil {
			return Step{}, err
		}
	}
	return Step{Kept: -1, Next: g.feed(g.siblings.Count)}, nil
}

type verdict int

const (
	accepted verdict = iota
	rejected
	undecided // a screen's: to be fed alone
)

// judge asks about the walk's candidate by the hidden state at it, unless it is forced. In a screen it only rejects, and
// only what is rejected by a wide margin.
func (g *Gate) judge(hidden []float32, screen bool) (verdict, error) {
	if g.walk.Forced() {
		g.force()
		return accepted, nil
	}
	round(g.features, hidden)
	g.eval.SetHidden(g.features)
	p := g.eval.Accept(nil)
	if err := g.number(p); err != nil {
		return 0, err
	}
	if screen && p+screenMargin >= g.threshold() {
		return undecided, nil
	}
	if g.decide(p) == sampler.Accept {
		return accepted, nil
	}
	return rejected, nil
}

// nextPosition starts the walk after what step emitted, by the logits of that token's pass.
func (g *Gate) nextPosition(step Step, logits []float32) (Step, error) {
	if g.keepLogits {
		g.current = append(g.current[:0], logits...)
	}
	if err := g.propose(logits); err != nil {
		if !step.Emit {
			return Step{}, err
		}
		// The token stands; what comes after it does not. The runner feeds something before it asks again.
		g.failed = err
		return step, nil
	}
	g.fed = true
	step.Next = g.feed(g.siblings.first())
	return step, nil
}

// feed lists up to n candidates from the walk's on, as far as rejections may reach.
func (g *Gate) feed(n int) []int32 {
	rank := g.walk.Rank()
	reach := g.pool.Rejections() - rank
	if !g.siblings.Exact {
		reach++ // the forced one: a screen cannot accept it
	}
	g.next = g.next[:0]
	for _, c := range g.pool.Candidates()[rank : rank+max(1, min(n, reach))] {
		g.next = append(g.next, c.Token)
	}
	return g.next
}
