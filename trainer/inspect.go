package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ollama/ollama/format"
	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

func inspectCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Print the fields, shapes, norms and training record of a proxy, a reward head or a checkpoint",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := inspectFile(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), found)
			}
			found.print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// inspection is what a file says of itself.
type inspection struct {
	Kind       string         `json:"kind"` // proxy, reward head or checkpoint
	Fields     []field        `json:"-"`    // in the order in which they are printed
	Values     map[string]any `json:"fields"`
	Parameters int            `json:"parameters"`
	Tensors    []tensorInfo   `json:"tensors"`
	Training   map[string]any `json:"training,omitempty"`
}

// field is one line of an inspection.
type field struct{ name, text string }

// add adds a field: its value for programs, and as people read it.
func (in *inspection) add(name string, value any, text string, args ...any) {
	in.Fields = append(in.Fields, field{name, fmt.Sprintf(text, args...)})
	if in.Values == nil {
		in.Values = make(map[string]any)
	}
	in.Values[strings.ReplaceAll(name, " ", "_")] = value
}

// tensorInfo sums a tensor up.
type tensorInfo struct {
	Name  string  `json:"name"`
	Shape []int   `json:"shape"` // outputs first
	Norm  float64 `json:"norm"`  // Euclidean
	Max   float64 `json:"max"`   // the largest magnitude
}

func (in *inspection) addTensor(name string, values []float32, shape ...int) {
	info := tensorInfo{Name: name, Shape: shape}
	for _, v := range values {
		info.Norm += float64(v) * float64(v)
		info.Max = max(info.Max, math.Abs(float64(v)))
	}
	info.Norm = math.Sqrt(info.Norm)
	in.Tensors = append(in.Tensors, info)
	in.Parameters += len(values)
}

func inspectFile(path string) (*inspection, error) {
	checkpoint, err := run.IsCheckpoint(path)
	if err != nil {
		return nil, err
	}
	if checkpoint {
		var s learn.State
		if err := run.LoadCheckpoint(path, &s); err != nil {
			return nil, err
		}
		return inspectCheckpoint(&s), nil
	}
	if head.Is(path) {
		h, err := head.Open(path)
		if err != nil {
			return nil, err
		}
		return inspectHead(h), nil
	}
	m, err := proxy.Open(path)
	if err != nil {
		return nil, err
	}
	return inspectProxy(m), nil
}

func inspectHead(h *head.Head) *inspection {
	in := &inspection{Kind: "reward head", Training: h.Training}
	in.addBase(h.Base, h.Length())
	in.add("logit_scale", h.LogitScale, "%.3g: log-odds that people prefer a reply of 1 more", h.LogitScale)
	for i, l := range h.Layers {
		in.addTensor(fmt.Sprintf("reward.%d.weight", i), l.Weight, l.Out, l.In)
		in.addTensor(fmt.Sprintf("reward.%d.bias", i), l.Bias, l.Out)
	}
	return in
}

func inspectProxy(m *proxy.Model) *inspection {
	in := &inspection{Kind: "proxy", Training: m.Training}
	in.add("features", m.Features, "%s: %d values of each candidate", m.Features, m.InputLength())
	in.add("activation", m.Activation, "%s", m.Activation)
	in.addBase(m.Base, m.EmbeddingLength)
	p := m.Pool
	in.add("pool", map[string]any{"temperature": p.Temperature, "top_k": p.TopK, "top_p": p.TopP, "min_p": p.MinP, "p_t": p.PT, "max_rejections": p.MaxRejections},
		"temperature %v, top_k %d, top_p %v, min_p %v, p_t %v, max_rejections %d", p.Temperature, p.TopK, p.TopP, p.MinP, p.PT, p.MaxRejections)
	in.add("cutoff", m.Cutoff, "%v", m.Cutoff)
	if m.Norm != nil {
		in.addTensor("proxy.norm.weight", m.Norm.Weight, len(m.Norm.Weight))
		in.addTensor("proxy.norm.bias", m.Norm.Bias, len(m.Norm.Bias))
	}
	for i, l := range m.Layers {
		in.addTensor(fmt.Sprintf("proxy.%d.weight", i), l.Weight, l.Out, l.In)
		in.addTensor(fmt.Sprintf("proxy.%d.bias", i), l.Bias, l.Out)
	}
	return in
}

func (in *inspection) addBase(b proxy.Base, d int) {
	or := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	vocabulary := "unknown"
	if b.VocabSize > 0 {
		vocabulary = fmt.Sprint(b.VocabSize)
	}
	in.add("base", map[string]any{"architecture": b.Architecture, "embedding_length": d, "vocab_size": b.VocabSize, "digest": b.Digest},
		"architecture %s, d %d, vocabulary %s, file %s", or(b.Architecture), d, vocabulary, or(b.Digest))
}

func inspectCheckpoint(s *learn.State) *inspection {
	in := &inspection{Kind: "checkpoint"}
	in.add("algorithm", s.Algorithm, "%s", s.Algorithm)
	in.addBase(s.Base, s.Base.EmbeddingLength)
	in.add("episodes", s.Episodes, "%d, last validated after %d", s.Episodes, s.Validated)
	if s.Started {
		in.addValidation("greedy", s.Greedy)
	}
	if s.Best.Episodes > 0 {
		in.addValidation("best", s.Best)
	}
	if p := s.PPO; p != nil {
		in.addAgent(p.Updates, p.InputLength, p.Features.Count)
		in.addNetwork("actor", p.Actor)
		in.addNetwork("critic", p.Critic)
	}
	if p := s.SAC; p != nil {
		in.addAgent(p.Updates, p.InputLength, p.Features.Count)
		in.addNetwork("actor", p.Actor)
		for i := range p.Critics {
			in.addNetwork(fmt.Sprintf("critic.%d", i), p.Critics[i])
			in.addNetwork(fmt.Sprintf("target.%d", i), p.Targets[i])
		}
		in.addNetwork("temperature", p.Temperature)
	}
	return in
}

func (in *inspection) addAgent(updates int64, inputs int, seen int64) {
	in.add("updates", updates, "%d", updates)
	in.add("features seen", seen, "%s vectors of %d values", format.HumanNumber(uint64(seen)), inputs)
}

// addNetwork adds a network, which holds its weights in × out.
func (in *inspection) addNetwork(name string, n nn.NetworkState) {
	for _, t := range n.Tensors {
		in.addTensor(name+"."+t.Name, t.Values, t.Cols, t.Rows)
	}
}

func (in *inspection) addValidation(name string, v learn.Validation) {
	in.add(name, map[string]any{"episodes": v.Episodes, "reward": v.Reward, "perplexity": v.Perplexity, "rejections_per_token": v.Rejections},
		"reward %.4g, perplexity %.3g, %.3g rejections a token, after %d episodes", v.Reward, v.Perplexity, v.Rejections, v.Episodes)
}

func (in *inspection) print(w io.Writer) {
	rows := [][]string{{"kind", in.Kind}}
	for _, f := range in.Fields {
		rows = append(rows, []string{f.name, f.text})
	}
	rows = append(rows, []string{"parameters", fmt.Sprintf("%s (%s as float32)", format.HumanNumber(uint64(in.Parameters)), format.HumanBytes2(4*uint64(in.Parameters)))})
	writeTable(w, nil, rows)
	fmt.Fprintln(w)
	rows = nil
	for _, t := range in.Tensors {
		rows = append(rows, []string{t.Name, strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Shape), "[]"), " ", " × "), fmt.Sprintf("%.4g", t.Norm), fmt.Sprintf("%.4g", t.Max)})
	}
	writeTable(w, []string{"tensor", "shape", "norm", "largest"}, rows)
	if len(in.Training) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows = nil
	for _, k := range slices.Sorted(maps.Keys(in.Training)) {
		rows = append(rows, []string{k, fmt.Sprint(in.Training[k])})
	}
	writeTable(w, []string{"training", ""}, rows)
}

// writeJSON writes a value for programs, and readable all the same.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
