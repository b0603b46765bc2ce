package plugin

import (
	"errors"
	"reflect"
	"strings"

	"github.com/ollama/ollama/ml"
	"github.com/ollama/ollama/ml/nn"
)

// Tap reads the LLM's final hidden state, the input of its output matrix after the final norm, without a change to any
// model: it stands in for the output matrix's weight and notes what Mulmat is called with. It serves one model, and one graph
// is built at a time (the runner builds them one after another).
type Tap struct {
	output *nn.Linear
	weight ml.Tensor
	hidden ml.Tensor
	rows   int // of the next logits; 0: all
}

// ErrNoOutput is a model whose output matrix was not found.
var ErrNoOutput = errors.New("the model has no linear layer tagged gguf:\"output\", so its final hidden state cannot be read")

// InstallTap puts a tap into model, a pointer to one of Ollama's model structs. Until [Tap.Hidden] is called it adds nothing
// to a graph. Close takes it out again.
func InstallTap(model any) (*Tap, error) {
	output := findOutput(reflect.ValueOf(model), 0)
	if output == nil || output.Weight == nil {
		return nil, ErrNoOutput
	}
	t := &Tap{output: output, weight: output.Weight}
	output.Weight = &tappedWeight{Tensor: output.Weight, tap: t}
	return t, nil
}

// Close gives the model its own weight back. It is safe to call twice, and on nil.
func (t *Tap) Close() {
	if t != nil {
		t.output.Weight = t.weight
		t.hidden = nil
	}
}

// Narrow has the next forward multiply only the first rows of its outputs with the output matrix: the others' hidden states are
// wanted, and their logits, of which there would be one a token of the vocabulary, are not.
func (t *Tap) Narrow(rows int) { t.rows = rows }

// Hidden adds to ctx's graph, after the model's forward, a copy of the final hidden state and returns it: shape d × outputs,
// one column a row of logits. A copy, because the state itself is an intermediate whose memory the graph reuses. Read it
// after the compute that it is passed to, before any other.
func (t *Tap) Hidden(ctx ml.Context) (ml.Tensor, error) {
	if t.hidden == nil {
		return nil, errors.New("hidden state: the forward pass did not use the model's output matrix")
	}
	h := t.hidden.Duplicate(ctx)
	t.hidden = nil
	ctx.Forward(h)
	return h, nil
}

// tappedWeight is the output matrix's weight, listening.
type tappedWeight struct {
	ml.Tensor
	tap *Tap
}

func (w *tappedWeight) Mulmat(ctx ml.Context, t2 ml.Tensor) ml.Tensor {
	return w.Tensor.Mulmat(ctx, w.tap.note(ctx, t2))
}

func (w *tappedWeight) MulmatFullPrec(ctx ml.Context, t2 ml.Tensor) ml.Tensor {
	return w.Tensor.MulmatFullPrec(ctx, w.tap.note(ctx, t2))
}

// note keeps the hidden states and returns those whose logits are wanted.
func (t *Tap) note(ctx ml.Context, hidden ml.Tensor) ml.Tensor {
	t.hidden = hidden
	rows := t.rows
	t.rows = 0
	if rows == 0 || rows >= hidden.Dim(1) {
		return hidden
	}
	return hidden.View(ctx, 0, hidden.Dim(0), hidden.Stride(1), rows)
}

var linearType = reflect.TypeFor[*nn.Linear]()

// findOutput walks the model's own structs (multimodal models keep the text model in a field) for the *nn.Linear tagged
// gguf:"output". Layers sit in slices and are not entered: their attn_output is another matrix with another tag.
func findOutput(v reflect.Value, depth int) *nn.Linear {
	const deepest = 4
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || depth > deepest {
		return nil
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("gguf"), ",")
		if field.Type == linearType {
			if name == "output" {
				return v.Field(i).Interface().(*nn.Linear)
			}
			continue
		}
		if !strings.Contains(field.Type.String(), "Model") {
			continue
		}
		if found := findOutput(v.Field(i), depth+1); found != nil {
			return found
		}
	}
	return nil
}
