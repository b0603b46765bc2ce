package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

func exportCommand() *cobra.Command {
	return configured("export", "Write the GGUF file and the Modelfile of a run's best checkpoint", func(_ context.Context, c config.Config) error {
		folder, err := run.Open(c.RunFolder(), nil)
		if err != nil {
			return err
		}
		defer folder.Close()
		s := &session{config: c, folder: folder}
		if err := s.export(&learn.Loop{Config: c, Folder: folder}); err != nil {
			return err
		}
		s.printFiles()
		return nil
	})
}

// export writes the best checkpoint's proxy and a Modelfile that attaches it.
func (s *session) export(loop *learn.Loop) error {
	best, err := loop.Best()
	if err != nil {
		return err
	}
	if err := s.folder.WriteFile(modelfileFile, s.modelfile()); err != nil {
		return err
	}
	return best.WriteFile(s.folder.Path(proxyFile))
}

func inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Print a proxy file's fields, shapes, norms and training record",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := proxy.Open(args[0])
			if err != nil {
				return err
			}
			inspect(m)
			return nil
		},
	}
}

func inspect(m *proxy.Model) {
	fmt.Printf("features        %s\nbase            %s, d %d, vocabulary %d, %s\n", m.Features, m.Base.Architecture, m.Base.EmbeddingLength, m.Base.VocabSize, m.Base.Digest)
	fmt.Printf("pool            temperature %g, top_k %d, top_p %g, min_p %g, p_t %g, max_rejections %d\n",
		m.Pool.Temperature, m.Pool.TopK, m.Pool.TopP, m.Pool.MinP, m.Pool.PT, m.Pool.MaxRejections)
	fmt.Printf("cutoff          %g\nparameters      %d bytes\n", m.Cutoff, m.Bytes())
	if m.Norm != nil {
		fmt.Printf("norm            %d\n", len(m.Norm.Weight))
	}
	for i, l := range m.Layers {
		fmt.Printf("layer %d         %d → %d, |weight| %.4g, |bias| %.4g\n", i, l.In, l.Out, norm(l.Weight), norm(l.Bias))
	}
	var keys []string
	for k := range m.Training {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Printf("training.%-22s %v\n", k, m.Training[k])
	}
}

func norm(xs []float32) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
