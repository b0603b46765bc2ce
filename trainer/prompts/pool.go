package prompts

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Pool is a file's prompts, divided in two and put in order, from which a run
// takes what it needs. [Read] makes one.
type Pool struct {
	// Counts says what the filters left so far.
	Counts Counts

	options Options
	train   []Prompt // in the order of a hash of Seed and prompt
	heldOut []Prompt // in the order of a hash of the prompt alone
}

// Counts are numbers of prompts, in the order in which they are filtered.
type Counts struct {
	Records  int // in the file
	Distinct int // after repetitions were left out
	Short    int // of Distinct, of at most MaxCharacters
	Train    int // of Short, to train on
	HeldOut  int // of Short, kept from training

	// What Select did. Asked is 0 where MaxTokens is.
	Asked int // prompts whose tokens were counted
	Fit   int // of Asked, of at most MaxTokens
}

// Read reads the file and divides it.
//
// Of prompts that occur more than once the first record is kept. Those to train
// on are in the order of a hash of Seed and prompt, the held-out ones in the
// order of a hash of the prompt alone, so that the first n of them are the same n
// in every run; neither order depends on the order of the file. It is an error if
// nothing is left, or if fewer than HoldOut are held out. Errors in the file name
// the line, or of Parquet the row, of the record.
func Read(o Options) (*Pool, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	records, err := readFile(o.Path, o.Key)
	if err != nil {
		return nil, err
	}
	return divide(records, o)
}

// divide does what Read does with the records of the file.
func divide(records []record, o Options) (*Pool, error) {
	p := &Pool{options: o, Counts: Counts{Records: len(records)}}
	seen := make(map[[sha256.Size]byte]bool, len(records))
	for _, r := range records {
		h := r.hash()
		if seen[h] {
			continue
		}
		seen[h] = true
		p.Counts.Distinct++
		switch {
		case o.MaxCharacters > 0 && utf8.RuneCountInString(r.Text) > o.MaxCharacters:
		case r.isHeldOut(h, o):
			p.heldOut = append(p.heldOut, r.Prompt)
		default:
			p.train = append(p.train, r.Prompt)
		}
	}
	p.Counts.Train, p.Counts.HeldOut = len(p.train), len(p.heldOut)
	p.Counts.Short = p.Counts.Train + p.Counts.HeldOut
	if p.Counts.Short == 0 {
		return nil, fmt.Errorf("prompts: %s: no prompts of at most %d characters among %d records; give others or raise max_characters", o.Path, o.MaxCharacters, len(records))
	}
	if o.HoldOut > len(p.heldOut) {
		return nil, fmt.Errorf("prompts: %s: hold_out: want %d prompts, but only %d of %d are reserved; raise reserve, lower hold_out, or mark records with \"split\": \"test\"", o.Path, o.HoldOut, len(p.heldOut), p.Counts.Short)
	}
	order(p.heldOut, nil)
	order(p.train, binary.LittleEndian.AppendUint64(nil, o.Seed))
	return p, nil
}

// Any returns one of the prompts, such as to try a reward with.
func (p *Pool) Any() Prompt {
	if len(p.train) > 0 {
		return p.train[0]
	}
	return p.heldOut[0]
}

// Need says how many prompts a run looks at, so that no others are counted; 0 is
// all that the options allow. It changes how many there are, never which.
type Need struct{ Train, HeldOut int }

// A Counter counts the tokens that a model sees of each prompt, as a server
// renders them.
type Counter func(ctx context.Context, ps []Prompt) ([]int, error)

// Select takes the first prompts of both sides: Limit and HoldOut of them at
// most, and what need says. With MaxTokens they are the first that fit, and count
// is asked about as many as that takes; without it, count may be nil.
//
// It is an error if too few fit. The returned slices are the caller's.
func (p *Pool) Select(ctx context.Context, need Need, count Counter) (train, heldOut []Prompt, err error) {
	o := p.options
	if o.MaxTokens > 0 && count == nil {
		return nil, nil, errors.New("prompts: max_tokens: nobody counts tokens here; set it to 0")
	}
	fit := fitter{most: o.MaxTokens, count: count}
	if train, err = fit.first(ctx, p.train, atMost(o.Limit, need.Train)); err != nil {
		return nil, nil, err
	}
	if heldOut, err = fit.first(ctx, p.heldOut, atMost(o.HoldOut, need.HeldOut)); err != nil {
		return nil, nil, err
	}
	p.Counts.Asked, p.Counts.Fit = fit.asked, fit.fit
	switch want := atMost(o.HoldOut, need.HeldOut); {
	case len(train)+len(heldOut) == 0:
		return nil, nil, fmt.Errorf("prompts: %s: none of %d prompts has at most %d tokens; give others or raise max_tokens", o.Path, fit.asked, o.MaxTokens)
	case o.HoldOut > 0 && len(heldOut) < want:
		return nil, nil, fmt.Errorf("prompts: %s: hold_out: want %d prompts, but only %d of %d that are reserved have at most %d tokens; raise max_tokens or reserve, or lower hold_out", o.Path, want, len(heldOut), len(p.heldOut), o.MaxTokens)
	}
	return train, heldOut, nil
}

// atMost is the smaller of two limits, of which 0 is none.
func atMost(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// fitter chooses prompts by their length in tokens.
type fitter struct {
	most       int // 0: any length
	count      Counter
	asked, fit int
}

// countBatch is how many prompts a server is asked about at once.
const countBatch = 64

// first returns the first n prompts that fit, or with n = 0 all.
func (f *fitter) first(ctx context.Context, ps []Prompt, n int) ([]Prompt, error) {
	if n == 0 {
		n = len(ps)
	}
	if f.most == 0 {
		return ps[:min(n, len(ps)):min(n, len(ps))], nil
	}
	var out []Prompt
	for len(ps) > 0 && len(out) < n {
		batch := ps[:min(countBatch, n-len(out), len(ps))]
		ps = ps[len(batch):]
		tokens, err := f.count(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("prompts: max_tokens: %w", err)
		}
		if len(tokens) != len(batch) {
			return nil, fmt.Errorf("prompts: max_tokens: %d prompts were counted, want %d", len(tokens), len(batch))
		}
		f.asked += len(batch)
		for i, t := range tokens {
			if t <= f.most {
				out = append(out, batch[i])
			}
		}
	}
	f.fit += len(out)
	return out, nil
}
