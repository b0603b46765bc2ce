package preference

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// StateReader asks for the states of a given reply. It must be safe for concurrent use.
type StateReader interface {
	States(ctx context.Context, prompt []prompts.Message, reply string) (wire.StatesReply, error)
}

// Store is where states are kept: a run folder. AppendJSON adds a line to a file, whole or not at all.
type Store interface {
	Path(name string) string
	AppendJSON(name string, v any) error
}

// StatesFile is the file in the store. It may be removed: its states are asked for again.
const StatesFile = "states.jsonl"

// Collector gets the states of every reply of pairs.
type Collector struct {
	Reader StateReader
	Store  Store
	// Scope names what else the states depend on: the model's file and the length of its context. States of another scope are
	// not taken for these.
	Scope string
	// Parallel is how many replies are asked for at once.
	Parallel int
	// Done may be nil; it is called after each reply, one call at a time.
	Done func(Count)
}

// Count says how far a collector is, and what it took.
type Count struct {
	Replies int // of the pairs
	Done    int
	Kept    int           // of Done, in the store from before
	Tokens  int           // of the replies, those in the store too
	Fed     int           // tokens of the replies of this run with their prompts, which may come from the server's cache
	Cut     int           // tokens that did not fit the context
	Wall    time.Duration // so far
}

// stored is a line of the file.
type stored struct {
	Key    string      `json:"key"`
	Tokens int         `json:"tokens"`
	Prompt int         `json:"prompt_tokens"`
	Cut    int         `json:"cut"`
	Mean   wire.Vector `json:"mean"`
}

// Collect returns the pairs with the states of their replies, in their order. After an error, or when ctx is done, what has come
// is in the store, and the next Collect goes on from there.
func (c *Collector) Collect(ctx context.Context, pairs []Pair) ([]head.Pair, Count, error) {
	known, err := c.load()
	if err != nil {
		return nil, Count{}, err
	}
	begun := time.Now()
	count := Count{Replies: 2 * len(pairs)}
	out := make([]head.Pair, len(pairs))
	var mu sync.Mutex
	note := func(s stored, fed int) {
		mu.Lock()
		defer mu.Unlock()
		count.Done++
		if fed == 0 {
			count.Kept++
		}
		count.Tokens, count.Fed, count.Cut = count.Tokens+s.Tokens, count.Fed+fed, count.Cut+s.Cut
		count.Wall = time.Since(begun)
		if c.Done != nil {
			c.Done(count)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(c.Parallel, 1))
	for i, p := range pairs {
		// One after the other: the second finds the prompt in the server's cache.
		group.Go(func() error {
			for _, reply := range []struct {
				dialogue Dialogue
				to       *head.Reply
			}{{p.Chosen, &out[i].Chosen}, {p.Rejected, &out[i].Rejected}} {
				s, fed, err := c.one(ctx, known, reply.dialogue)
				if err != nil {
					return fmt.Errorf("pair %d: %w", i+1, err)
				}
				*reply.to = head.Reply{State: s.Mean, Tokens: s.Tokens}
				note(s, fed)
			}
			return nil
		})
	}
	err = group.Wait()
	return out, count, err
}

// one gets a reply's states from the store, or from the reader and then into the store. fed is 0 for the former.
func (c *Collector) one(ctx context.Context, known map[string]stored, d Dialogue) (s stored, fed int, err error) {
	key := hex.EncodeToString(d.key(c.Scope)[:16])
	if s, ok := known[key]; ok {
		return s, 0, nil
	}
	if err := ctx.Err(); err != nil {
		return s, 0, err
	}
	states, err := c.Reader.States(ctx, d.Prompt, d.Reply)
	if err != nil {
		return s, 0, err
	}
	s = stored{Key: key, Tokens: states.Tokens, Prompt: states.PromptTokens, Cut: states.Cut, Mean: states.Mean}
	return s, states.PromptTokens + states.Tokens, c.Store.AppendJSON(StatesFile, s)
}

// load reads the store.
func (c *Collector) load() (map[string]stored, error) {
	known := map[string]stored{}
	f, err := os.Open(c.Store.Path(StatesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := json.NewDecoder(f)
	for lines.More() {
		var s stored
		if err := lines.Decode(&s); err != nil || s.Key == "" || len(s.Mean) == 0 {
			return nil, fmt.Errorf("%s: record %d is damaged (%v): remove the file, and the states are asked for again", c.Store.Path(StatesFile), len(known)+1, err)
		}
		known[s.Key] = s
	}
	return known, nil
}
