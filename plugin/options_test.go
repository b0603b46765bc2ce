package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

var someDigest = "sha256:" + strings.Repeat("0a", 32)

type options = map[string]any

func TestParseOptions(t *testing.T) {
	tests := map[string]struct {
		model, request options
		without        bool // the model has no proxy
		want           *wire.Request
	}{
		"no options":                   {want: &wire.Request{}},
		"no options, no proxy":         {without: true},
		"other options, no proxy":      {without: true, request: options{"temperature": 0.1, "seed": 1.0, "stop": []any{"x"}}},
		"null is absent":               {request: options{"proxy": nil, "proxy_pt": nil, "proxy_trace": nil, "temperature": nil}, want: &wire.Request{}},
		"null is absent, no proxy":     {without: true, request: options{"proxy": nil, "proxy_pt": nil, "proxy_explore": nil}},
		"null leaves the Modelfile's":  {model: options{"proxy_pt": 0.2}, request: options{"proxy_pt": nil}, want: &wire.Request{PT: new(0.2)}},
		"0 is a value":                 {request: options{"proxy_pt": 0.0, "proxy_cutoff": 0.0, "proxy_max_rejections": 0.0}, want: &wire.Request{PT: new(0.0), Cutoff: new(0.0), MaxRejections: new(0)}},
		"0 over the Modelfile's":       {model: options{"proxy_pt": 0.5, "proxy_max_rejections": 9.0}, request: options{"proxy_pt": 0.0, "proxy_max_rejections": 0.0}, want: &wire.Request{PT: new(0.0), MaxRejections: new(0)}},
		"ends of the ranges":           {request: options{"proxy_pt": 1.0, "proxy_cutoff": 1.0, "proxy_max_rejections": float64(math.MaxInt32)}, want: &wire.Request{PT: new(1.0), Cutoff: new(1.0), MaxRejections: new(math.MaxInt32)}},
		"request over Modelfile":       {model: options{"proxy_cutoff": 0.9, "proxy_pt": 0.1, "proxy_explore": true}, request: options{"proxy_cutoff": 0.3, "proxy_explore": false}, want: &wire.Request{Cutoff: new(0.3), PT: new(0.1)}},
		"Modelfile's kinds of numbers": {model: options{"proxy_pt": float32(0.25), "proxy_cutoff": int64(1), "proxy_max_rejections": int64(3), "top_k": int64(40), "temperature": float32(0.5)}, want: &wire.Request{PT: new(0.25), Cutoff: new(1.0), MaxRejections: new(3), TopK: new(40), Temperature: new(0.5)}},
		"Go callers' int":              {request: options{"proxy_max_rejections": 3, "top_k": 7}, want: &wire.Request{MaxRejections: new(3), TopK: new(7)}},
		"the pool's four":              {model: options{"temperature": 1.5, "top_k": 3.0}, request: options{"temperature": 0.0, "top_p": 0.0, "min_p": 0.25}, want: &wire.Request{Temperature: new(0.0), TopK: new(3), TopP: new(0.0), MinP: new(0.25)}},
		"the pool's wrong types":       {request: options{"temperature": "hot", "top_k": true}, want: &wire.Request{}},
		"the model's own by name":      {request: options{"proxy": ""}, want: &wire.Request{}},
		"the model's own again":        {model: options{"proxy": "none"}, request: options{"proxy": ""}, want: &wire.Request{}},
		"off":                          {request: options{"proxy": "none"}},
		"off, with other options":      {request: options{"proxy": "none", "proxy_pt": 0.5, "proxy_trace": "decisions"}},
		"off, no proxy":                {without: true, request: options{"proxy": "none"}},
		"off for the Modelfile's":      {without: true, model: options{"proxy": someDigest, "proxy_pt": 0.1}, request: options{"proxy": "none"}},
		"uploaded":                     {request: options{"proxy": someDigest}, want: &wire.Request{Digest: someDigest}},
		"uploaded, no own":             {without: true, request: options{"proxy": someDigest, "proxy_explore": true, "proxy_trace": "decisions"}, want: &wire.Request{Digest: someDigest, Explore: true, Trace: wire.TraceDecisions}},
		"uploaded over the Modelfile":  {model: options{"proxy": "none"}, request: options{"proxy": someDigest}, want: &wire.Request{Digest: someDigest}},
		"trace off":                    {request: options{"proxy_trace": ""}, want: &wire.Request{}},
		"an unknown name that is null": {request: options{"proxy_ptt": nil}, want: &wire.Request{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseOptions(test.model, test.request, !test.without)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	tests := []struct {
		request options
		want    string // all of the message, or its beginning before a "…"
	}{
		{options{"proxy_pt": -0.1}, `option "proxy_pt": want a number from 0 to 1, got -0.1`},
		{options{"proxy_pt": 1.5}, `option "proxy_pt": want a number from 0 to 1, got 1.5`},
		{options{"proxy_pt": "0.1"}, `option "proxy_pt": want a number from 0 to 1, got "0.1"`},
		{options{"proxy_pt": math.NaN()}, `option "proxy_pt": want a number from 0 to 1, got NaN`},
		{options{"proxy_cutoff": 2.0}, `option "proxy_cutoff": want a number from 0 to 1, got 2`},
		{options{"proxy_cutoff": true}, `option "proxy_cutoff": want a number from 0 to 1, got true`},
		{options{"proxy_max_rejections": -1.0}, `option "proxy_max_rejections": want a whole number from 0 (no bound) up, got -1`},
		{options{"proxy_max_rejections": 1.5}, `option "proxy_max_rejections": want a whole number from 0 (no bound) up, got 1.5`},
		{options{"proxy_max_rejections": 1e10}, `option "proxy_max_rejections": want a whole number from 0 (no bound) up, got 10000000000`},
		{options{"proxy_max_rejections": math.NaN()}, `option "proxy_max_rejections": want a whole number from 0 (no bound) up, got NaN`},
		{options{"proxy_max_rejections": []any{1.0}}, `option "proxy_max_rejections": want a whole number from 0 (no bound) up, got [1]`},
		{options{"proxy_explore": 1.0}, `option "proxy_explore": want true or false, got 1`},
		{options{"proxy_explore": "yes"}, `option "proxy_explore": want true or false, got "yes"`},
		{options{"proxy_trace": "all"}, `option "proxy_trace": want one of ["" "decisions" "features"], got "all"`},
		{options{"proxy_trace": true}, `option "proxy_trace": want a string, got true`},
		{options{"proxy": 1.0}, `option "proxy": want a string, got 1`},
		{options{"proxy": options{}}, `option "proxy": want a string, got {}`},
		{options{"proxy": "None"}, `option "proxy": want "" (the model's own), "none" or "sha256:" and 64 lower-case hexadecimal digits, got "None"`},
		{options{"proxy": strings.ToUpper(someDigest)}, `option "proxy": want …`},
		{options{"proxy": "sha256:" + strings.Repeat("0A", 32)}, `option "proxy": want …`},
		{options{"proxy": someDigest[:70]}, `option "proxy": want …`},
		{options{"proxy": someDigest + "0"}, `option "proxy": want …`},
		{options{"proxy": someDigest + "\n"}, `option "proxy": want …`},
		{options{"proxy": strings.Replace(someDigest, ":", "-", 1)}, `option "proxy": want …`},
		{options{"proxy": "sha256:../../../../etc/passwd"}, `option "proxy": want …`},
		{options{"proxy": "../../blobs/x.gguf"}, `option "proxy": want …`},
		{options{"proxy_ptt": 0.1}, `option "proxy_ptt": there is no such option, did you mean "proxy_pt"? The proxy's are proxy, proxy_pt, proxy_cutoff, proxy_max_rejections, proxy_explore, proxy_trace`},
		{options{"proxy_max_rejection": 3.0}, `option "proxy_max_rejection": there is no such option, did you mean "proxy_max_rejections"? …`},
		{options{"proxy_p_t": 0.1, "proxy_pt": 0.1}, `option "proxy_p_t": there is no such option, did you mean "proxy_pt"? …`},
		{options{"Proxy": "none"}, `option "Proxy": there is no such option, did you mean "proxy"? …`},
		{options{"proxyCutoff": 0.1, "proxy_z": 1.0}, `option "proxyCutoff": there is no such option, did you mean "proxy_cutoff"? …`},
		{options{"proxy_request": options{"path": "/etc/passwd"}}, `option "proxy_request": there is no such option, did you mean …`},
		// One bad option is enough, whatever the others say.
		{options{"proxy": "none", "proxy_pt": 7.0}, `option "proxy_pt": want a number from 0 to 1, got 7`},
	}
	for _, test := range tests {
		for _, place := range []string{"request", "Modelfile"} {
			for _, attached := range []bool{true, false} {
				model, request := options(nil), test.request
				if place == "Modelfile" {
					model, request = test.request, nil
				}
				got, err := ParseOptions(model, request, attached)
				if got != nil {
					t.Errorf("%v: a request and an error: %+v", test.request, got)
				}
				var o *OptionError
				if !errors.As(err, &o) {
					t.Errorf("%v in the %s: error %v, want an OptionError", test.request, place, err)
					continue
				}
				want, begins := strings.CutSuffix(test.want, "…")
				if err.Error() != want && !(begins && strings.HasPrefix(err.Error(), want)) {
					t.Errorf("%v in the %s: error %q, want %q", test.request, place, err, test.want)
				}
			}
		}
	}
}

func TestCheckOptions(t *testing.T) {
	for _, fine := range []options{
		nil,
		{"temperature": "hot", "seed": 1.0},
		{"proxy": "none", "proxy_pt": 0.0, "proxy_cutoff": float32(0.5), "proxy_max_rejections": int64(2), "proxy_explore": true, "proxy_trace": "decisions"},
		{"proxy": someDigest},
		{"proxy_trace": "features"}, // whether this server gives them is for the request
	} {
		if err := CheckOptions(fine); err != nil {
			t.Errorf("%v: %v", fine, err)
		}
	}
	for _, bad := range []options{{"proxy_pt": 2.0}, {"proxy": "x"}, {"proxy_ptt": 0.1}} {
		var o *OptionError
		if err := CheckOptions(bad); !errors.As(err, &o) {
			t.Errorf("%v: error %v, want an OptionError", bad, err)
		}
	}
}

func TestClientOptions(t *testing.T) {
	request := options{"temperature": 1.0, "top_p": 1.0, "seed": 3.0}
	for name, test := range map[string]struct {
		ctx  context.Context
		want options
	}{
		"a client of Ollama's own API": {context.Background(), request},
		"all set by the client":        {WithDefaults(context.Background()), request},
		"one set by the endpoint":      {WithDefaults(context.Background(), "temperature"), options{"top_p": 1.0, "seed": 3.0}},
		"one that it did not set":      {WithDefaults(context.Background(), "min_p", "top_p"), options{"temperature": 1.0, "seed": 3.0}},
	} {
		if d := cmp.Diff(test.want, ClientOptions(test.ctx, request)); d != "" {
			t.Errorf("%s: want −, got +\n%s", name, d)
		}
	}
	if len(request) != 3 {
		t.Errorf("the request's own options were changed: %v", request)
	}
}

func TestOptionsWithoutAProxy(t *testing.T) {
	for _, request := range []options{
		{"proxy_pt": 0.1}, {"proxy_cutoff": 0.5}, {"proxy_max_rejections": 0.0},
		{"proxy_explore": true}, {"proxy_trace": "decisions"}, {"proxy_pt": 0.0},
	} {
		if got, err := ParseOptions(nil, request, false); !errors.Is(err, ErrNoProxy) || got != nil {
			t.Errorf("%v: %v, error %v, want %v", request, got, err, ErrNoProxy)
		}
	}
}

func TestFeaturesNeedARolloutServer(t *testing.T) {
	request := options{"proxy_trace": "features"}
	for _, value := range []string{"", "0", "true"} {
		t.Setenv(wire.RolloutVariable, value)
		_, err := ParseOptions(nil, request, true)
		want := `option "proxy_trace": "features" needs a server started with OLLAMA_PROXY_ROLLOUT=1`
		var o *OptionError
		if !errors.As(err, &o) || err.Error() != want {
			t.Errorf("OLLAMA_PROXY_ROLLOUT=%q: error %v, want %q", value, err, want)
		}
	}
	t.Setenv(wire.RolloutVariable, "1")
	got, err := ParseOptions(nil, request, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&wire.Request{Trace: wire.TraceFeatures}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPoolOptions(t *testing.T) {
	file := sampler.Options{Temperature: 0.7, TopK: 40, TopP: 0.95, MinP: 0.03, PT: 0.05, MaxRejections: 4}
	tests := map[string]struct {
		request wire.Request
		want    sampler.Options
	}{
		"nothing said": {want: file},
		"all said": {
			wire.Request{Temperature: new(0.0), TopK: new(0), TopP: new(0.0), MinP: new(0.0), PT: new(0.0), MaxRejections: new(0)},
			sampler.Options{},
		},
		"below, clamped as Ollama does": {
			wire.Request{Temperature: new(-1.0), TopK: new(-5), TopP: new(-0.5), MinP: new(-2.0)},
			sampler.Options{PT: 0.05, MaxRejections: 4},
		},
		"above, clamped as Ollama does": {
			wire.Request{Temperature: new(99.0), TopK: new(1000000), TopP: new(3.0), MinP: new(2.0)},
			sampler.Options{Temperature: 99, TopK: 1000000, TopP: 1, MinP: 1, PT: 0.05, MaxRejections: 4},
		},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, poolOptions(file, &test.request)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// FuzzParseOptions: whatever a client sends, the outcome is an error that the server can answer with, or a request that
// makes a valid pool.
func FuzzParseOptions(f *testing.F) {
	f.Add(`{"proxy_pt": 0.1, "proxy_trace": "decisions", "top_k": 5}`, `{"proxy_pt": 1, "temperature": 0.5}`, true)
	f.Add(`{"proxy": "none", "proxy_explore": true}`, `{}`, false)
	f.Add(`{"proxy": "`+someDigest+`", "proxy_max_rejections": 1e300, "top_k": -1e300}`, `null`, false)
	f.Add(`{"temperature": -1e308, "top_p": 1e308, "min_p": -3, "top_k": 1e19}`, `{"proxy_cutoff": null}`, true)
	f.Add(`{"proxy_trace": ["features"], "proxy": {"x": []}}`, `{"proxy_explore": "no"}`, true)
	f.Fuzz(func(t *testing.T, request, model string, attached bool) {
		var r, m options
		if json.Unmarshal([]byte(request), &r) != nil || json.Unmarshal([]byte(model), &m) != nil {
			return
		}
		req, err := ParseOptions(m, r, attached)
		if err != nil {
			var o *OptionError
			if !errors.As(err, &o) && !errors.Is(err, ErrNoProxy) {
				t.Fatalf("error %v is of no known kind", err)
			}
			return
		}
		if req == nil {
			return
		}
		if err := poolOptions(sampler.DefaultOptions(), req).Validate(); err != nil {
			t.Errorf("pool of %s over %s: %v", request, model, err)
		}
		if req.Cutoff != nil && !(*req.Cutoff >= 0 && *req.Cutoff <= 1) {
			t.Errorf("cutoff %v", *req.Cutoff)
		}
		if req.Digest != "" && !digestPattern.MatchString(req.Digest) || req.Digest == "" && !attached {
			t.Errorf("digest %q, model with a proxy: %t", req.Digest, attached)
		}
		if req.Path != "" || req.Off || req.Trace == wire.TraceFeatures {
			t.Errorf("a client must not be able to set this: %+v", req)
		}
	})
}
