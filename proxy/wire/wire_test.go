package wire

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestJSON pins the form on the wire, which clients and older trainers read.
func TestJSON(t *testing.T) {
	p, zero, none := 0.25, 0.0, 0
	for _, test := range []struct {
		value any
		want  string
	}{
		{Request{}, `{}`},
		{
			Request{PT: &zero, Cutoff: &zero, MaxRejections: &none, Temperature: &zero, TopK: &none, TopP: &zero, MinP: &zero},
			`{"pt":0,"cutoff":0,"max_rejections":0,"temperature":0,"top_k":0,"top_p":0,"min_p":0}`,
		},
		{
			Request{Digest: "sha256:00", Path: "/blob", Off: true, Explore: true, Trace: TraceFeatures},
			`{"digest":"sha256:00","path":"/blob","off":true,"explore":true,"trace":"features"}`,
		},
		{
			Stats{Digest: "sha256:00", Features: "prefix", Duration: time.Microsecond},
			`{"digest":"sha256:00","features":"prefix","proposed":0,"accepted":0,"rejected":0,"forced":0,"forwards":0,"duration":1000}`,
		},
		{
			Decision{Position: 1, Token: 2, Text: " a", Rank: 3, Prob: 0.5, Pool: 9, Action: Reject, Accept: &p, Features: []byte{0, 0x3c}},
			`{"position":1,"token":2,"text":" a","rank":3,"prob":0.5,"pool":9,"action":"reject","accept":0.25,"features":"ADw="}`,
		},
		{
			Decision{Prob: 1, Pool: 1, Action: Forced},
			`{"position":0,"token":0,"text":"","rank":0,"prob":1,"pool":1,"action":"forced"}`,
		},
		{ // pi(accept) = 0 is a value
			Decision{Action: Reject, Accept: &zero},
			`{"position":0,"token":0,"text":"","rank":0,"prob":0,"pool":0,"action":"reject","accept":0}`,
		},
		{ServerVersion{"1.0.0", "abc", true, 4}, `{"version":"1.0.0","patches":"abc","rollout":true,"parallel":4}`},
	} {
		if diff := cmp.Diff(test.want, jsonOf(t, test.value)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", test.value, diff)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	p, k := 1/3., 7
	request := Request{Digest: "d", PT: &p, TopK: &k, Explore: true, Trace: TraceDecisions}
	decision := Decision{Position: 5, Token: -1, Text: "\"\n<é", Prob: math.Nextafter(0.1, 1), Action: Accept, Accept: &p, Features: []byte{1, 2, 3, 4}}
	var gotRequest Request
	var gotDecision Decision
	for text, into := range map[string]any{jsonOf(t, request): &gotRequest, jsonOf(t, decision): &gotDecision} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(request, gotRequest); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(decision, gotDecision); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

func TestStats(t *testing.T) {
	s := Stats{Digest: "sha256:00", Features: "lookahead", Proposed: 9, Accepted: 3, Rejected: 4, Forced: 2, Forwards: 9, Duration: 1500 * time.Microsecond}
	if got := s.Tokens(); got != 5 {
		t.Errorf("%d tokens, want 5", got)
	}
	want := `proxy:                sha256:00, lookahead
proxy decisions:      3 accepted, 4 rejected, 2 forced of 9 proposed, 9 forward(s)
proxy duration:       1.5ms
`
	if diff := cmp.Diff(want, s.Summary()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestSplit(t *testing.T) {
	decisions := make([]Decision, 5)
	for i := range decisions {
		decisions[i] = Decision{Position: i, Features: make([]byte, 3000)}
	}
	decisions[2].Features = make([]byte, 30000)
	for _, test := range []struct {
		limit int
		want  []int // how many decisions a run has
	}{
		{0, []int{1, 1, 1, 1, 1}},
		{5000, []int{1, 1, 1, 1, 1}},
		{9000, []int{2, 1, 2}},
		{49000, []int{3, 2}},
		{1 << 20, []int{5}},
	} {
		var got []int
		for _, run := range Split(decisions, test.limit) {
			got = append(got, len(run))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", test.limit, diff)
		}
	}
	if runs := Split(nil, 100); len(runs) > 0 {
		t.Errorf("%d runs of nothing", len(runs))
	}
}

// TestSplitProperties: nothing is lost or moved, a run fits, and the next decision would have been tried for it; for texts
// whose JSON is much longer than they are and numbers as long as they get.
func TestSplitProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "a", "\x00", "\xff", "<&>", "\u2028", `"\`, "日本", strings.Repeat("\x01", 40)}
	p := 1.2345678901234567e-300
	for range 200 {
		var all []Decision
		for range rng.IntN(40) {
			d := Decision{Text: strings.Repeat(texts[rng.IntN(len(texts))], rng.IntN(4)), Action: Reject}
			if rng.IntN(2) == 0 {
				d.Position, d.Token, d.Rank, d.Pool = math.MinInt, math.MinInt32, math.MinInt, math.MinInt
				d.Prob, d.Accept = -p, &p
			}
			d.Features = make([]byte, rng.IntN(3)*rng.IntN(700))
			all = append(all, d)
		}
		limit := rng.IntN(6000)
		var joined []Decision
		for _, run := range Split(all, limit) {
			if len(run) == 0 {
				t.Fatal("an empty run")
			}
			if n := len(jsonOf(t, run)); n > limit && len(run) > 1 {
				t.Fatalf("%d decisions take %d bytes, limit %d", len(run), n, limit)
			}
			joined = append(joined, run...)
		}
		if !reflect.DeepEqual(all, joined) {
			t.Fatalf("limit %d: %+v became %+v", limit, all, joined)
		}
	}
}

func TestDescription(t *testing.T) {
	zero, half := 0.0, 0.5
	for name, test := range map[string]struct {
		description Description
		rows        [][2]string
		line        string
	}{
		"all there": {
			Description{Digest: "sha256:0a", Features: "prefix", Parameters: 2364418, PT: &zero, Cutoff: &half, Reward: "vader"},
			[][2]string{{"digest", "sha256:0a"}, {"features", "prefix"}, {"parameters", "2.364M"}, {"p_t", "0"}, {"cutoff", "0.5"}, {"trained for", "vader"}},
			"sha256:0a, prefix, 2.364M parameters, p_t 0, cutoff 0.5, trained for vader",
		},
		"nothing said of training": {
			Description{Digest: "sha256:0a", Features: "lookahead", Parameters: 178, PT: &half, Cutoff: &half},
			[][2]string{{"digest", "sha256:0a"}, {"features", "lookahead"}, {"parameters", "178"}, {"p_t", "0.5"}, {"cutoff", "0.5"}},
			"sha256:0a, lookahead, 178 parameters, p_t 0.5, cutoff 0.5",
		},
		"unreadable": {
			Description{Digest: "sha256:0a", Error: "cut short"},
			[][2]string{{"digest", "sha256:0a"}, {"error", "cut short"}},
			"sha256:0a, error cut short",
		},
	} {
		if d := cmp.Diff(test.rows, test.description.Rows()); d != "" {
			t.Errorf("%s: want −, got +\n%s", name, d)
		}
		if got := test.description.String(); got != test.line {
			t.Errorf("%s: %q, want %q", name, got, test.line)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1500: "1.5K", 25_200_000: "25.2M", 1_073_741_824: "1.074B"} {
		if got := human(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
