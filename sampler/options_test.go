package sampler

import (
	"math"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		set  func(*Options)
		want string // in the error; "" for none
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { *o = Options{} }, ""},
		{func(o *Options) { o.TopK = -1 }, ""},
		{func(o *Options) { o.TopP = 1.5 }, ""},
		{func(o *Options) { o.TopP = -1 }, ""},
		{func(o *Options) { o.MinP, o.PT = 1, 1 }, ""},
		{func(o *Options) { o.Temperature = -0.1 }, "temperature is -0.1: want"},
		{func(o *Options) { o.Temperature = math.NaN() }, "temperature is NaN: want"},
		{func(o *Options) { o.Temperature = math.Inf(1) }, "temperature is +Inf: want"},
		{func(o *Options) { o.TopP = math.NaN() }, "top_p is NaN: want"},
		{func(o *Options) { o.TopP = math.Inf(1) }, "top_p is +Inf: want"},
		{func(o *Options) { o.MinP = -0.1 }, "min_p is -0.1: want"},
		{func(o *Options) { o.MinP = 1.1 }, "min_p is 1.1: want"},
		{func(o *Options) { o.MinP = math.NaN() }, "min_p is NaN: want"},
		{func(o *Options) { o.PT = -1 }, "proxy_pt is -1: want"},
		{func(o *Options) { o.PT = 2 }, "proxy_pt is 2: want"},
		{func(o *Options) { o.PT = math.NaN() }, "proxy_pt is NaN: want"},
		{func(o *Options) { o.MaxRejections = -1 }, "proxy_max_rejections is -1: want"},
	}
	for _, tt := range tests {
		o := DefaultOptions()
		tt.set(&o)
		err := o.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%+v: %v, want no error", o, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want an error that says %q", o, err, tt.want)
		}
	}
	both := Options{Temperature: -1, PT: 2}.Validate()
	for _, field := range []string{"temperature", "proxy_pt"} {
		if both == nil || !strings.Contains(both.Error(), field) {
			t.Errorf("%v does not name %s", both, field)
		}
	}
}

func TestDefaultOptions(t *testing.T) {
	want := Options{Temperature: 0.8, TopP: 0.9, PT: 0.01}
	if got := DefaultOptions(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
