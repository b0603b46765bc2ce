package pytorch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Options say what a file does not.
type Options struct {
	// Prefix is what the names of the actor's tensors begin with, such as
	// "actor."; others are passed over. "" takes all.
	Prefix string
	// Layers are the names of the linear layers from the features to the output,
	// without Prefix and without ".weight". Empty is the order of the file, or the
	// only one in which the shapes fit.
	Layers []string
	// AcceptAction is the action that accepts: the row of the last layer that is
	// its logit, 0 (the paper's) or 1 (other published agents).
	AcceptAction int
}

// Validate names the first field that is wrong.
func (o Options) Validate() error {
	if o.AcceptAction != 0 && o.AcceptAction != 1 {
		return fmt.Errorf("accept action is %d, want 0 (as in the paper) or 1 (as in other published agents)", o.AcceptAction)
	}
	return nil
}

// layer is the tensors of one layer.
type layer struct {
	name         string // without prefix and suffix
	place        int    // in the order of names or of the file
	weight, bias *Tensor
}

func (l layer) in() int  { return l.weight.Shape[1] }
func (l layer) out() int { return l.weight.Shape[0] }

// Import makes a proxy of the actor in f. c says all that the layers do not: of
// its fields, FeedForwardLength is set here, and Features if it is empty, by the
// length of the first layer's input. A linear layer without a bias has one of
// zeros; a LayerNorm's epsilon is taken to be PyTorch's default.
//
// Errors name the tensor.
func Import(f *File, o Options, c proxy.Config) (*proxy.Model, error) {
	m, err := o.build(f, c)
	if err != nil {
		return nil, fmt.Errorf("pytorch: import: %w", err)
	}
	return m, nil
}

func (o Options) build(f *File, c proxy.Config) (*proxy.Model, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	norm, linear, err := o.find(f)
	if err != nil {
		return nil, err
	}
	if c.Features, err = featuresOf(linear[0], c); err != nil {
		return nil, err
	}
	m := &proxy.Model{Config: c}
	m.FeedForwardLength = nil
	for _, l := range linear[:len(linear)-1] {
		m.FeedForwardLength = append(m.FeedForwardLength, l.out())
	}
	if norm != nil {
		if m.Norm, err = norm.norm(); err != nil {
			return nil, err
		}
	}
	for _, l := range linear {
		values, err := l.linear()
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, values)
	}
	if o.AcceptAction == 1 {
		swapRows(&m.Layers[len(m.Layers)-1])
	}
	return m, m.Validate()
}

// featuresOf says which features the first layer takes of an LLM whose hidden
// state has c.EmbeddingLength values.
func featuresOf(first layer, c proxy.Config) (proxy.Features, error) {
	d, in := c.EmbeddingLength, first.in()
	for _, f := range []proxy.Features{proxy.Lookahead, proxy.Prefix} {
		takes := proxy.Config{Features: f, EmbeddingLength: d}.InputLength()
		if in == takes && (c.Features == "" || c.Features == f) {
			return f, nil
		}
	}
	if c.Features != "" {
		return "", fmt.Errorf("%s takes %d values, want %d for %s features of a model with d %d", first.weight.Name, in,
			proxy.Config{Features: c.Features, EmbeddingLength: d}.InputLength(), c.Features, d)
	}
	return "", fmt.Errorf("%s takes %d values, want %d (lookahead) or %d (prefix) for a model with d %d: name the model that the actor was trained on", first.weight.Name, in, d, 2*d, d)
}

// find tells the actor's layers from the other tensors, and puts them in order.
func (o Options) find(f *File) (norm *layer, linear []layer, err error) {
	layers, err := o.group(f)
	if err != nil {
		return nil, nil, err
	}
	var norms []layer
	for _, l := range layers {
		switch len(l.weight.Shape) {
		case 1:
			norms = append(norms, l)
		case 2:
			linear = append(linear, l)
		default:
			return nil, nil, fmt.Errorf("%s is %s: neither a linear layer nor a LayerNorm", l.weight.Name, l.weight.shape())
		}
	}
	if len(linear) == 0 {
		return nil, nil, fmt.Errorf("no linear layer among the %d tensors%s", len(f.Tensors), o.hint(f))
	}
	if linear, err = o.chain(linear, f); err != nil {
		return nil, nil, err
	}
	if len(norms) > 1 {
		return nil, nil, fmt.Errorf("%s is a second LayerNorm beside %s: a proxy has one, before its first linear layer", norms[1].weight.Name, norms[0].weight.Name)
	}
	if len(norms) == 1 {
		norm = &norms[0]
		if n := norm.weight.Shape[0]; n != linear[0].in() {
			return nil, nil, fmt.Errorf("%s has %d values, but the first linear layer, %s, takes %d: a proxy's LayerNorm comes before it", norm.weight.Name, n, linear[0].weight.Name, linear[0].in())
		}
		if norm.place > linear[0].place && (f.Ordered || siblings(norm.name, linear[0].name)) {
			return nil, nil, fmt.Errorf("%s comes after %s: a proxy's LayerNorm comes before its first linear layer", norm.weight.Name, linear[0].weight.Name)
		}
	}
	return norm, linear, nil
}

// group pairs weights with biases, in the order of the file or else of the names.
func (o Options) group(f *File) ([]layer, error) {
	byName := make(map[string]*layer)
	var names []string
	for i := range f.Tensors {
		t := &f.Tensors[i]
		name, ok := strings.CutPrefix(t.Name, o.Prefix)
		if !ok {
			continue
		}
		stem, what := cut(strings.TrimPrefix(name, "."))
		if what != "weight" && what != "bias" {
			return nil, fmt.Errorf("%s is neither a weight nor a bias: it is not of a LayerNorm or a linear layer%s", t.Name, o.hint(f))
		}
		l := byName[stem]
		if l == nil {
			l = &layer{name: stem}
			byName[stem] = l
			names = append(names, stem)
		}
		half := &l.weight
		if what == "bias" {
			half = &l.bias
		}
		if *half != nil {
			return nil, fmt.Errorf("%s is there twice", t.Name)
		}
		*half = t
	}
	if !f.Ordered {
		slices.SortFunc(names, natural)
	}
	var layers []layer
	for i, name := range names {
		l := byName[name]
		l.place = i
		if err := l.check(); err != nil {
			return nil, err
		}
		layers = append(layers, *l)
	}
	return layers, nil
}

// check makes sure that weight and bias belong together.
func (l layer) check() error {
	if l.weight == nil {
		return fmt.Errorf("%s has no weight beside it", l.bias.Name)
	}
	if l.bias == nil || len(l.weight.Shape) == 0 {
		return nil
	}
	if want := l.weight.Shape[:1]; !slices.Equal(l.bias.Shape, want) {
		return fmt.Errorf("%s is %s, want %d values, as %s is %s", l.bias.Name, l.bias.shape(), want[0], l.weight.Name, l.weight.shape())
	}
	return nil
}

// hint says how to tell the actor from the rest, where there is a rest.
func (o Options) hint(f *File) string {
	var groups []string
	for _, t := range f.Tensors {
		if first, _, ok := strings.Cut(t.Name, "."); ok && !slices.Contains(groups, first+".") {
			groups = append(groups, first+".")
		}
	}
	if len(groups) < 2 && o.Prefix == "" {
		return ""
	}
	slices.Sort(groups)
	if len(groups) > 8 {
		groups = append(groups[:8], "…")
	}
	return fmt.Sprintf("; set the prefix, one of %s", strings.Join(groups, ", "))
}

// chain puts linear layers in the order of computation.
func (o Options) chain(linear []layer, f *File) ([]layer, error) {
	if len(o.Layers) > 0 {
		return o.named(linear)
	}
	broken := fits(linear)
	if broken == nil {
		return linear, nil
	}
	byShape, err := chainByShape(linear)
	if err != nil {
		return nil, fmt.Errorf("%w; in the order that they are in, %w%s", err, broken, o.hint(f))
	}
	return byShape, nil
}

// named takes the layers that the user lists.
func (o Options) named(linear []layer) ([]layer, error) {
	var out []layer
	for _, name := range o.Layers {
		i := slices.IndexFunc(linear, func(l layer) bool { return l.name == name })
		if i < 0 {
			var have []string
			for _, l := range linear {
				have = append(have, l.name)
			}
			return nil, fmt.Errorf("no linear layer is called %q: the file has %s", name, strings.Join(have, ", "))
		}
		out = append(out, linear[i])
	}
	return out, fits(out)
}

// fits says where layers do not follow each other, down to two outputs.
func fits(linear []layer) error {
	for i, l := range linear[1:] {
		if before := linear[i]; before.out() != l.in() {
			return fmt.Errorf("%s takes %d values, but %s before it gives %d", l.weight.Name, l.in(), before.weight.Name, before.out())
		}
	}
	if last := linear[len(linear)-1]; last.out() != 2 {
		return fmt.Errorf("the last layer, %s, has %d outputs, want 2: the logits of accept and reject", last.weight.Name, last.out())
	}
	return nil
}

// chainByShape finds the order from the two outputs backwards, if there is only one.
func chainByShape(linear []layer) ([]layer, error) {
	rest := slices.Clone(linear)
	var out []layer
	for want := 2; len(rest) > 0; want = out[0].in() {
		var next []int
		for i, l := range rest {
			if l.out() == want {
				next = append(next, i)
			}
		}
		switch len(next) {
		case 0:
			return nil, fmt.Errorf("no order of the layers fits: %s belongs nowhere", rest[0].weight.Name)
		case 1:
			out = slices.Insert(out, 0, rest[next[0]])
			rest = slices.Delete(rest, next[0], next[0]+1)
		default:
			return nil, fmt.Errorf("%s and %s both have %d outputs: name the layers in their order", rest[next[0]].weight.Name, rest[next[1]].weight.Name, want)
		}
	}
	return out, nil
}

func (l layer) norm() (*proxy.Norm, error) {
	n := proxy.NewNorm(l.weight.Shape[0])
	var err error
	if n.Weight, err = l.weight.Values(); err == nil && l.bias != nil {
		n.Bias, err = l.bias.Values()
	}
	return n, err
}

func (l layer) linear() (proxy.Linear, error) {
	out := proxy.Linear{In: l.in(), Out: l.out(), Bias: make([]float32, l.out())}
	var err error
	if out.Weight, err = l.weight.Values(); err == nil && l.bias != nil {
		out.Bias, err = l.bias.Values()
	}
	return out, err
}

// swapRows exchanges the two outputs.
func swapRows(l *proxy.Linear) {
	for i := range l.In {
		l.Weight[i], l.Weight[l.In+i] = l.Weight[l.In+i], l.Weight[i]
	}
	l.Bias[0], l.Bias[1] = l.Bias[1], l.Bias[0]
}

// cut takes the last part off a name.
func cut(name string) (stem, last string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// siblings says whether both are layers of one Sequential, whose names are their places in it.
func siblings(a, b string) bool {
	parentA, lastA := cut(a)
	parentB, lastB := cut(b)
	return parentA == parentB && digits(lastA) == len(lastA) && digits(lastB) == len(lastB)
}

// natural compares names with numbers in them as people do: layer.9 before layer.10.
func natural(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da == 0 || db == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		na, nb := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
		if c := cmp.Or(cmp.Compare(len(na), len(nb)), strings.Compare(na, nb)); c != 0 {
			return c
		}
		a, b = a[da:], b[db:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits counts the digits that s begins with.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
