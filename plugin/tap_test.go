package plugin

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ollama/ollama/ml"
	"github.com/ollama/ollama/ml/nn"
)

// fakeTensor is a tensor with a name, and 42 in every dimension. A method that a tap has no business calling panics.
type fakeTensor struct {
	ml.Tensor
	name string
}

func (t *fakeTensor) Stride(int) int { return 7 }

func (t *fakeTensor) View(_ ml.Context, offset int, shape ...int) ml.Tensor {
	return &fakeTensor{name: fmt.Sprintf("%s[%d:%v]", t.name, offset, shape)}
}

func (t *fakeTensor) Mulmat(_ ml.Context, t2 ml.Tensor) ml.Tensor {
	return &fakeTensor{name: t.name + "·" + t2.(*fakeTensor).name}
}

func (t *fakeTensor) MulmatFullPrec(_ ml.Context, t2 ml.Tensor) ml.Tensor {
	return &fakeTensor{name: t.name + "×" + t2.(*fakeTensor).name}
}

func (t *fakeTensor) Duplicate(ml.Context) ml.Tensor { return &fakeTensor{name: "copy of " + t.name} }

func (t *fakeTensor) Dim(int) int { return 42 }

// fakeContext notes what is added to its graph.
type fakeContext struct {
	ml.Context
	graph []string
}

func (c *fakeContext) Forward(tensors ...ml.Tensor) ml.Context {
	for _, t := range tensors {
		c.graph = append(c.graph, t.(*fakeTensor).name)
	}
	return c
}

func linear(name string) *nn.Linear { return &nn.Linear{Weight: &fakeTensor{name: name}} }

// The structs below have the shapes of Ollama's models.

type fakeAttention struct {
	Output *nn.Linear `gguf:"attn_output"`
}

type fakeLayer struct {
	*fakeAttention
	SelfAttention *fakeAttention
	Down          *nn.Linear `gguf:"ffn_down"`
}

// textOnly is llama's shape: tied weights by an alternative name.
type textOnly struct {
	Base   ml.Tensor
	Layers []fakeLayer `gguf:"blk"`
	Gate   *nn.Linear  `gguf:"output_gate"`
	Plain  *nn.Linear
	Output *nn.Linear `gguf:"output,alt:token_embd"`
}

// TextModel and VisionModel are exported as Ollama's are, so that they can be embedded.
type TextModel struct {
	Layers []fakeLayer `gguf:"blk"`
	Output *nn.Linear  `gguf:"output"`
}

type VisionModel struct {
	Projection *nn.Linear  `gguf:"attn_output"`
	Layers     []fakeLayer `gguf:"blk"`
}

// multimodal is gemma3's shape, the vision model in front as in llama4.
type multimodal struct {
	*VisionModel `gguf:"v"`
	*TextModel
	Projector *nn.Linear `gguf:"mm.0"`
}

// named is deepseekocr's: the text model in a field of an unexported type.
type textModel struct {
	Output *nn.Linear `gguf:"output"`
}

type named struct {
	Vision *VisionModel `gguf:"v"`
	Text   *textModel
}

// valued has its text model by value, and a nil one before it.
type valued struct {
	Other *TextModel
	Model TextModel
}

func TestInstallTap(t *testing.T) {
	layers := []fakeLayer{{fakeAttention: &fakeAttention{linear("wrong")}, SelfAttention: &fakeAttention{linear("wrong")}, Down: linear("wrong")}}
	vision := &VisionModel{Projection: linear("wrong"), Layers: layers}
	tests := map[string]struct {
		model  any
		output func(any) *nn.Linear
	}{
		"text only": {
			&textOnly{Layers: layers, Gate: linear("wrong"), Plain: linear("wrong"), Output: linear("W")},
			func(m any) *nn.Linear { return m.(*textOnly).Output },
		},
		"multimodal": {
			&multimodal{VisionModel: vision, TextModel: &TextModel{layers, linear("W")}, Projector: linear("wrong")},
			func(m any) *nn.Linear { return m.(*multimodal).Output },
		},
		"text model in a field": {
			&named{Vision: vision, Text: &textModel{linear("W")}},
			func(m any) *nn.Linear { return m.(*named).Text.Output },
		},
		"text model by value": {
			&valued{Model: TextModel{layers, linear("W")}},
			func(m any) *nn.Linear { return m.(*valued).Model.Output },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			output := test.output(test.model)
			weight := output.Weight
			tap, err := InstallTap(test.model)
			if err != nil {
				t.Fatal(err)
			}
			ctx := &fakeContext{}
			logits := output.Forward(ctx, &fakeTensor{name: "h"})
			if got := logits.(*fakeTensor).name; got != "W·h" {
				t.Errorf("the logits are %q, want W·h", got)
			}
			if len(ctx.graph) > 0 {
				t.Errorf("the graph got %q before Hidden", ctx.graph)
			}
			hidden, err := tap.Hidden(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := hidden.(*fakeTensor).name; got != "copy of h" || !slices.Equal(ctx.graph, []string{got}) {
				t.Errorf("hidden state %q, in the graph %q, want a copy of h in both", got, ctx.graph)
			}
			if output.Weight.Dim(0) != 42 {
				t.Error("the weight no longer answers for itself")
			}

			tap.Close()
			tap.Close()
			if output.Weight != weight {
				t.Error("Close did not restore the weight")
			}
			for _, l := range layers {
				for _, other := range []*nn.Linear{l.fakeAttention.Output, l.SelfAttention.Output, l.Down, vision.Projection} {
					if got := other.Weight.(*fakeTensor).name; got != "wrong" {
						t.Errorf("another layer's weight is %q now", got)
					}
				}
			}
		})
	}
}

func TestInstallTapFindsNoOutput(t *testing.T) {
	for name, model := range map[string]any{
		"nil":                nil,
		"a nil model":        (*textOnly)(nil),
		"no struct":          new(7),
		"none":               &struct{ Layers []fakeLayer }{[]fakeLayer{{SelfAttention: &fakeAttention{linear("wrong")}}}},
		"not loaded":         &textOnly{},
		"without its weight": &textOnly{Output: &nn.Linear{}},
		"attention only":     &VisionModel{Projection: linear("wrong")},
		"nil text model":     &multimodal{VisionModel: &VisionModel{Projection: linear("wrong")}},
		"another type": &struct {
			Output ml.Tensor `gguf:"output"`
		}{&fakeTensor{}},
		"unexported": &struct {
			output *nn.Linear `gguf:"output"`
		}{linear("wrong")},
	} {
		tap, err := InstallTap(model)
		if tap != nil || !errors.Is(err, ErrNoOutput) {
			t.Errorf("%s: tap %v, error %v, want %v", name, tap, err, ErrNoOutput)
		}
	}
}

func TestHiddenIsOfThisForward(t *testing.T) {
	model := &textOnly{Output: linear("W")}
	tap, err := InstallTap(model)
	if err != nil {
		t.Fatal(err)
	}
	ctx := &fakeContext{}
	wantNone := func(when string) {
		t.Helper()
		if h, err := tap.Hidden(ctx); err == nil {
			t.Errorf("%s: hidden state %q, want an error", when, h.(*fakeTensor).name)
		}
	}
	wantNone("before a forward")
	for _, state := range []string{"first", "second"} {
		model.Output.Forward(ctx, &fakeTensor{name: "overwritten"})
		model.Output.Weight.MulmatFullPrec(ctx, &fakeTensor{name: state})
		h, err := tap.Hidden(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.(*fakeTensor).name; got != "copy of "+state {
			t.Errorf("hidden state %q, want a copy of %s", got, state)
		}
		wantNone("the same state twice")
	}
	model.Output.Forward(ctx, &fakeTensor{name: "h"})
	tap.Close()
	wantNone("after Close")

	(*Tap)(nil).Close()
}

// Narrow leaves the logits of further outputs out of the next forward, and no state.
func TestNarrow(t *testing.T) {
	model := &textOnly{Output: linear("W")}
	tap, err := InstallTap(model)
	if err != nil {
		t.Fatal(err)
	}
	forward := func() (logits, state string) {
		ctx := &fakeContext{}
		logits = model.Output.Forward(ctx, &fakeTensor{name: "h"}).(*fakeTensor).name
		h, err := tap.Hidden(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return logits, h.(*fakeTensor).name
	}
	for rows, want := range map[int]string{0: "W·h", 1: "W·h[0:[42 7 1]]", 41: "W·h[0:[42 7 41]]", 42: "W·h"} {
		tap.Narrow(rows)
		if logits, state := forward(); logits != want || state != "copy of h" {
			t.Errorf("%d rows: logits %s, states %q, want %s and a copy of h", rows, logits, state, want)
		}
		if logits, _ := forward(); logits != "W·h" {
			t.Errorf("the forward after one of %d rows: logits %s", rows, logits)
		}
	}
}
