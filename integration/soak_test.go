//go:build patched

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

const (
	soakModel   = "soak"
	soakContext = 256 // tokens a slot
	soakSlots   = 8
)

// soakServer is a server of its own with a tiny model in 8 slots.
func soakServer(t *testing.T) (s *server, shape proxy.Base) {
	t.Helper()
	s = start(t, t.Name(), root("bin", "ollama"), wire.RolloutVariable+"=1", fmt.Sprint("OLLAMA_NUM_PARALLEL=", soakSlots))
	data, shape := randomModel(t, "llama", 3)
	s.create(t, soakModel, map[string]any{
		"files": map[string]string{"model.gguf": s.push(t, data)}, "parameters": map[string]any{"num_ctx": soakContext},
	})
	return s, shape
}

// soakKind is one kind of request of a soak.
type soakKind struct {
	name string
	// change makes a plain request one of this kind; digest is a proxy.
	change func(request, options map[string]any, digest string)
	// want checks what came of it. nil: the client leaves before the end.
	want func(r reply, err error) error
}

// wandering makes a reply that does not repeat one token until the server cuts it off, whatever the last bits of the model's
// logits.
func wandering(options map[string]any, digest string) {
	options["proxy"], options["top_p"], options["proxy_pt"], options["proxy_explore"] = digest, 1, 1e-5, true
}

// soakKinds are requests of all kinds, each of which ends in another way.
func soakKinds(nan string) []soakKind {
	proxied := func(options map[string]any, digest string) {
		options["proxy"], options["top_p"], options["proxy_pt"] = digest, 0.98, 0.005
	}
	tokens := func(n int, reason string) func(reply, error) error {
		return func(r reply, err error) error {
			if err == nil && (r.EvalCount != n || r.DoneReason != reason) {
				err = fmt.Errorf("%d tokens and %q, want %d and %q", r.EvalCount, r.DoneReason, n, reason)
			}
			return err
		}
	}
	fails := func(status int, words string) func(reply, error) error {
		return func(r reply, err error) error {
			var e *statusError
			if !errors.As(err, &e) || e.status != status || !strings.Contains(e.message, words) {
				return fmt.Errorf("error %v, want %d with %q", err, status, words)
			}
			return nil
		}
	}
	// full is a prompt that leaves room for 20 tokens in a slot.
	full := func(request map[string]any) {
		request["raw"], request["prompt"] = true, strings.Repeat(request["prompt"].(string)+" ", 20)[:soakContext-20]
	}
	long := func(options map[string]any) { options["num_predict"] = 10 * soakContext }
	return []soakKind{
		{"no proxy", func(request, options map[string]any, _ string) {}, tokens(16, "length")},
		{"proxied", func(_, options map[string]any, digest string) { proxied(options, digest) }, tokens(16, "length")},
		{"exploring, features", func(_, options map[string]any, digest string) {
			proxied(options, digest)
			options["proxy_explore"], options["proxy_trace"] = true, wire.TraceFeatures
		}, func(r reply, err error) error {
			if err == nil && (len(r.Decisions) != r.Proxy.Proposed || r.Proxy.Tokens() != 16) {
				err = fmt.Errorf("%d decisions, %+v", len(r.Decisions), r.Proxy)
			}
			return err
		}},
		{"exploring, decisions, logprobs", func(request, options map[string]any, digest string) {
			proxied(options, digest)
			request["logprobs"] = true
			options["proxy_explore"], options["proxy_trace"] = true, wire.TraceDecisions
		}, func(r reply, err error) error {
			if err == nil && len(r.LogProbs) != r.Proxy.Tokens() {
				err = fmt.Errorf("%d logprobs, %+v", len(r.LogProbs), r.Proxy)
			}
			return err
		}},
		{"stop", func(_, options map[string]any, digest string) {
			wandering(options, digest)
			long(options)
			options["stop"] = []string{"e", "a7", "."}
		}, func(r reply, err error) error {
			if err == nil && (r.DoneReason != "stop" || strings.ContainsAny(r.Response, "e.")) {
				err = fmt.Errorf("%q and %q, want a stop", r.Response, r.DoneReason)
			}
			return err
		}},
		{"context limit", func(request, options map[string]any, digest string) {
			proxied(options, digest)
			full(request)
			long(options)
			request["shift"] = false
		}, func(r reply, err error) error {
			if err != nil {
				return err
			}
			if r.EvalCount == 20 {
				return tokens(20, "length")(r, nil) // the last one may not have been sampled when the slot was found full
			}
			return tokens(20+beyond(r), "length")(r, nil)
		}},
		{"context shift", func(request, options map[string]any, digest string) {
			wandering(options, digest)
			full(request)
			options["num_predict"] = 40
		}, tokens(40, "length")},
		{"format", func(request, options map[string]any, digest string) {
			proxied(options, digest)
			request["format"] = "json"
		}, func(r reply, err error) error {
			if err == nil && !strings.HasPrefix(strings.TrimSpace(r.Response), "{") && strings.TrimSpace(r.Response) != "" {
				err = fmt.Errorf("%q begins no JSON object", r.Response)
			}
			return err
		}},
		{"leaves", func(_, options map[string]any, digest string) {
			proxied(options, digest)
			long(options)
		}, nil},
		{"leaves without a proxy", func(_, options map[string]any, _ string) { long(options) }, nil},
		{"NaN", func(_, options map[string]any, digest string) {
			proxied(options, digest)
			options["proxy"] = nan
		}, fails(http.StatusInternalServerError, "NaN")},
		{"unknown proxy", func(_, options map[string]any, _ string) {
			options["proxy"] = "sha256:" + strings.Repeat("ab", 32)
		}, fails(http.StatusNotFound, "upload it")},
		{"bad option", func(_, options map[string]any, digest string) {
			options["proxy"], options["proxy_pt"] = digest, 2
		}, fails(http.StatusBadRequest, "proxy_pt")},
	}
}

// beyond is how many tokens a reply has that need no room in its slot: its last, which is not fed. With lookahead a token is
// decided when it has been fed.
func beyond(r reply) int {
	if r.Proxy != nil && r.Proxy.Features == string(proxy.Lookahead) {
		return 0
	}
	return 1
}

// One server answers 1,000 requests of all kinds, 16 at a time in 8 slots, and holds afterwards what it held before: memory,
// threads, files, goroutines, slots and cache cells.
func TestSoak(t *testing.T) {
	needsProc(t)
	const requests, atOnce, rounds = 1000, 16, 5
	s, shape := soakServer(t)
	digests := map[proxy.Features]string{}
	for _, f := range bothFeatures {
		digests[f] = s.push(t, newProxyFor(t, shape, f, 1, undecided))
	}
	kinds := soakKinds(s.push(t, newProxyFor(t, shape, proxy.Lookahead, 1, overflow)))

	plain := map[string]any{"model": soakModel, "prompt": questions[0], "options": map[string]any{"num_predict": 2}}
	s.generate(t, plain)
	fresh := s.runner(t).goroutines(t, s.log)
	s.generate(t, plain)
	runner, serve := s.runner(t), process(s.cmd.Process.Pid)

	var mu sync.Mutex
	ended := map[string]int{}
	held := []footprint{runner.footprint(t)}
	heldByServer := []footprint{serve.footprint(t)}
	for round := range rounds {
		next := make(chan int)
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(func() {
				for i := range next {
					kind := kinds[i%len(kinds)]
					if err := s.soak(kind, i, digests[bothFeatures[i/len(kinds)%2]]); err != nil {
						t.Errorf("request %d, %s: %v", i, kind.name, err)
					}
					mu.Lock()
					ended[kind.name]++
					mu.Unlock()
				}
			})
		}
		for i := range requests / rounds {
			next <- round*requests/rounds + i
		}
		close(next)
		wg.Wait()
		if t.Failed() {
			t.Fatal(tail(s.log))
		}
		held = append(held, runner.footprint(t))
		heldByServer = append(heldByServer, serve.footprint(t))
	}
	t.Logf("%d requests: %v", requests, ended)
	t.Logf("before and after each round of %d, runner: %+v", requests/rounds, held)
	t.Logf("before and after each round of %d, server: %+v", requests/rounds, heldByServer)
	for name, f := range map[string][]footprint{"runner": held, "server": heldByServer} {
		first, last := f[1], f[rounds] // the first round fills caches and pools
		if grown := last.RSS - first.RSS; grown > 16<<10 {
			t.Errorf("%s: resident memory grew by %d KiB in %d requests", name, grown, requests-requests/rounds)
		}
		if last.Threads > first.Threads+8 || last.Files > first.Files+8 {
			t.Errorf("%s: threads or files grew from %+v to %+v", name, first, last)
		}
	}

	s.fillSlots(t, shape, digests)
	s.allSlotsAtOnce(t, digests)

	// Left clients' requests end when the runner next sends them something.
	waitFor(t, "the runner to have nothing to do", func() bool {
		before := runner.ticks(t)
		time.Sleep(500 * time.Millisecond)
		return runner.ticks(t) <= before+1
	})
	after := runner.goroutines(t, s.log)
	t.Logf("goroutines of an idle runner: %d fresh, %d after the soak", fresh, after)
	if after > fresh+8 { // connections kept alive have one or two each
		t.Errorf("%d goroutines after the soak, %d before\n%s", after, fresh, tail(s.log))
	}
}

// overflow makes finite weights that yield NaN: half of the first layer's sums are infinite, whatever their input.
func overflow(m *proxy.Model) {
	for i, width := 0, m.InputLength(); i < len(m.Layers[0].Weight); i++ {
		m.Layers[0].Weight[i] = float32(1-2*(i/width%2)) * 3e38
	}
	for i := range m.Layers[1].Weight {
		m.Layers[1].Weight[i] = float32(1-2*(i/2%2)) * 3e38
	}
}

// soak makes request number i and says what was wrong with its answer.
func (s *server) soak(kind soakKind, i int, digest string) error {
	options := map[string]any{"seed": i, "num_predict": 16}
	request := map[string]any{"model": soakModel, "prompt": fmt.Sprint(i, questions[i%len(questions)]), "options": options}
	kind.change(request, options, digest)
	if kind.want == nil {
		return s.leave(request, i%3)
	}
	return kind.want(s.try("/api/generate", request))
}

// leave makes a streamed request and closes the connection after so many objects of the answer, after 0 as soon as the
// request is sent.
func (s *server) leave(request map[string]any, objects int) error {
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	if objects == 0 {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { leave() }})
	}
	parts, err := s.open(ctx, request)
	if objects == 0 && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parts.close()
	for range objects {
		if _, err := parts.next(); err != nil {
			return err
		}
	}
	return nil
}

// parts is a streamed answer as it comes.
type parts struct {
	scanner *bufio.Scanner
	close   func() error
}

func (s *server) open(ctx context.Context, request map[string]any) (*parts, error) {
	request = maps.Clone(request)
	request["stream"] = true
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/generate", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(post)
	if err != nil {
		return nil, err
	}
	return &parts{bufio.NewScanner(resp.Body), resp.Body.Close}, nil
}

func (p *parts) next() (r reply, err error) {
	if !p.scanner.Scan() {
		return r, fmt.Errorf("the answer ended: %w", errors.Join(p.scanner.Err(), errors.New("no more objects")))
	}
	if err = json.Unmarshal(p.scanner.Bytes(), &r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

// fillSlots fills every slot to its last cache cell. A cell that is still taken would be one too few: the runner's cache is as
// large as its slots together.
func (s *server) fillSlots(t *testing.T, shape proxy.Base, digests map[proxy.Features]string) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range soakSlots {
		wg.Go(func() {
			// Prompts differ from the first token on, so that no cells are shared.
			prompt := strings.Repeat(fmt.Sprint(i), soakContext/2)
			options := map[string]any{"num_predict": 10 * soakContext, "seed": i}
			wandering(options, digests[bothFeatures[i%2]])
			r, err := s.try("/api/generate", map[string]any{"model": soakModel, "prompt": prompt, "raw": true, "shift": false, "options": options})
			if want := soakContext/2 + beyond(r); err != nil || r.EvalCount != want && r.EvalCount != soakContext/2 {
				t.Errorf("filling slot %d: %d tokens, want %d, error %v", i, r.EvalCount, want, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.Fatal(tail(s.log))
	}
}

// allSlotsAtOnce has as many endless replies as there are slots under way at the same time. A slot that was never given back
// would leave one of them without a token.
func (s *server) allSlotsAtOnce(t *testing.T, digests map[proxy.Features]string) {
	t.Helper()
	ctx, leave := context.WithTimeout(context.Background(), time.Minute)
	defer leave()
	var begun, ended sync.WaitGroup
	begun.Add(soakSlots)
	for i := range soakSlots {
		ended.Go(func() {
			once := sync.OnceFunc(begun.Done)
			defer once()
			// Longer than any request that a client has left can still be running.
			options := map[string]any{"seed": i, "num_predict": 200 * soakContext}
			if i > 1 {
				wandering(options, digests[bothFeatures[i%2]])
			}
			answer, err := s.open(ctx, map[string]any{"model": soakModel, "prompt": questions[i], "options": options})
			if err != nil {
				t.Errorf("reply %d of %d at once did not begin: %v", i, soakSlots, err)
				return
			}
			defer answer.close()
			for {
				r, err := answer.next()
				if ctx.Err() == context.Canceled {
					return
				}
				if err != nil || r.Done {
					t.Errorf("reply %d of %d at once ended before all had begun: %+v, error %v", i, soakSlots, r, err)
					return
				}
				once()
			}
		})
	}
	begun.Wait()
	leave()
	ended.Wait()
}

// 32 requests at once for a proxy that is not in memory load it once: the runner reads its file as often as one load does.
func TestLoadsOnce(t *testing.T) {
	needsProc(t)
	s, shape := soakServer(t)
	big := func(seed uint64) (digest string, size int64) {
		m, err := proxy.New(proxy.Config{
			Features: proxy.Lookahead, EmbeddingLength: shape.EmbeddingLength, FeedForwardLength: []int{2048, 2048}, Activation: proxy.ReLU,
			Pool: sampler.DefaultOptions(), Cutoff: 0.5, Base: shape,
		}, rand.New(rand.NewPCG(seed, 0)))
		check(t, err)
		path := filepath.Join(t.TempDir(), "proxy.gguf")
		check(t, m.WriteFile(path))
		data, err := os.ReadFile(path)
		check(t, err)
		return s.push(t, data), int64(len(data))
	}
	// read asks n times at once and returns how many times the file's size the runner has read.
	read := func(n int, digest string, size int64) float64 {
		before := s.runner(t).field(t, "io", "rchar")
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				_, errs[i] = s.try("/api/generate", map[string]any{
					"model": soakModel, "prompt": questions[i%len(questions)], "options": map[string]any{"proxy": digest, "num_predict": 1},
				})
			})
		}
		wg.Wait()
		check(t, errors.Join(errs...))
		return float64(s.runner(t).field(t, "io", "rchar")-before) / float64(size)
	}
	s.generate(t, map[string]any{"model": soakModel, "prompt": questions[0], "options": map[string]any{"num_predict": 2}})
	digest, size := big(1)
	one := read(1, digest, size)
	digest, size = big(2)
	many := read(32, digest, size)
	t.Logf("of a proxy of %d bytes one request makes the runner read %.2f times as much, 32 at once %.2f times", size, one, many)
	if one < 1 || many < 1 || many > one+0.5 {
		t.Errorf("one request reads %.2f times the file, 32 at once %.2f times: want the same", one, many)
	}
}
