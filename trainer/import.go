package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/pytorch"
)

// imported is what import is told about an actor that its file does not say.
type imported struct {
	actor  pytorch.Options
	proxy  proxy.Config
	out    string
	model  string // asked for the base
	host   string
	reward string // for the training record
}

func importCommand() *cobra.Command {
	o := imported{proxy: proxy.Config{Pool: sampler.DefaultOptions(), Cutoff: proxy.DefaultCutoff}}
	o.actor.AcceptAction = -1
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a proxy file of an accept/reject actor that PyTorch has trained (.pth, .pt, .safetensors)",
		Long: `Make a proxy file of an accept/reject actor that PyTorch has trained: an optional LayerNorm, then linear layers
down to the logits of the two actions, under whatever names. Nothing in the file is run.

	proxy-trainer import actor.pth --model mistral:7b --accept-action 1 --out helpful.gguf`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// addFlags adds the flags. They may be written with underscores, as in a proxy file, or with hyphens.
func (o *imported) addFlags(fs *pflag.FlagSet) {
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	fs.StringVar(&o.out, "out", "", "proxy file to write; empty: FILE's name with .gguf")
	fs.IntVar(&o.actor.AcceptAction, "accept-action", -1, "the action that accepts: 0 as in the paper, 1 as in other published agents; there is no default, because a wrong one rejects what it should accept")
	fs.StringVar(&o.actor.Prefix, "prefix", "", "what the names of the actor's tensors begin with, such as actor.")
	fs.StringSliceVar(&o.actor.Layers, "layers", nil, "names of the linear layers in their order, where neither the file's order nor their shapes say it")
	fs.StringVar((*string)(&o.proxy.Activation), "activation", string(proxy.ReLU), "function between layers: relu, tanh or silu")
	fs.StringVar((*string)(&o.proxy.Features), "features", "", "lookahead or prefix; empty: as the first layer's input says")

	fs.StringVar(&o.model, "model", "", "the LLM that the actor was trained on, by its Ollama name; a server is asked about it")
	fs.StringVar(&o.host, "host", cmp.Or(os.Getenv("OLLAMA_HOST"), "127.0.0.1:11434"), "address of the server; any Ollama will do")
	base := &o.proxy.Base
	fs.StringVar(&base.Architecture, "base-architecture", "", "in place of --model: general.architecture of the LLM, such as llama")
	fs.IntVar(&base.EmbeddingLength, "base-embedding-length", 0, "in place of --model: length of its hidden state")
	fs.IntVar(&base.VocabSize, "base-vocab-size", 0, "in place of --model: number of its tokens; 0: unknown")
	fs.StringVar(&base.Digest, "base-digest", "", "in place of --model: sha256:… of its file; empty: unknown")

	pool := &o.proxy.Pool
	fs.Float64Var(&pool.PT, "p-t", pool.PT, "the paper's p_t of the pool that the actor was trained in")
	fs.Float64Var(&pool.Temperature, "temperature", pool.Temperature, "temperature of that pool")
	fs.Float64Var(&pool.TopP, "top-p", pool.TopP, "probability mass of that pool; 1: all")
	fs.Float64Var(&pool.MinP, "min-p", pool.MinP, "least probability of a candidate as a share of the first one's; 0: any")
	fs.IntVar(&pool.TopK, "top-k", pool.TopK, "largest number of candidates; 0: any")
	fs.IntVar(&pool.MaxRejections, "max-rejections", pool.MaxRejections, "largest number of rejections for each token; 0: any")
	fs.Float64Var(&o.proxy.Cutoff, "cutoff", o.proxy.Cutoff, "the proxy accepts from this pi(accept) on")
	fs.StringVar(&o.reward, "reward", "", "what the actor was trained for, as the file is to say")
}

func (o *imported) run(ctx context.Context, path string, w io.Writer) error {
	if o.actor.AcceptAction != 0 && o.actor.AcceptAction != 1 {
		return fmt.Errorf("--accept-action is %d, want the action that accepts: 0 as in the paper, or 1 as in other published agents (LayerNorm → 1024 → 256 → 2)", o.actor.AcceptAction)
	}
	if err := o.findBase(ctx); err != nil {
		return err
	}
	f, err := pytorch.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := o.proxy
	c.EmbeddingLength = c.Base.EmbeddingLength
	c.Training = map[string]any{"algorithm": "imported", "source": filepath.Base(path)}
	if o.reward != "" {
		c.Training["reward"] = o.reward
	}
	m, err := pytorch.Import(f, o.actor, c)
	if err != nil {
		return err
	}
	out := cmp.Or(o.out, strings.TrimSuffix(path, filepath.Ext(path))+".gguf")
	if err := m.WriteFile(out); err != nil {
		return err
	}
	inspectProxy(m).print(w)
	fmt.Fprintf(w, "\nwritten to %s; to attach it, put these lines in a Modelfile beside it and run ollama create:\n  FROM %s\n  ADAPTER ./%s\n",
		out, cmp.Or(o.model, "<the model>"), filepath.Base(out))
	return nil
}

// findBase says which LLM the actor was trained on.
func (o *imported) findBase(ctx context.Context) error {
	switch own := o.proxy.Base; {
	case o.model != "" && own != (proxy.Base{}):
		return fmt.Errorf("--model %s and --base-… flags both say which LLM the actor was trained on: leave out one of them", o.model)
	case o.model == "" && own.EmbeddingLength < 1:
		return fmt.Errorf("--base-embedding-length is %d, want the length of the LLM's hidden state, or name the LLM with --model", own.EmbeddingLength)
	case o.model == "":
		return nil
	}
	client, err := env.NewClient(o.host)
	if err != nil {
		return err
	}
	o.proxy.Base, err = client.Base(ctx, o.model)
	if err != nil {
		return fmt.Errorf("--model: %w (server %s): pull it there, set --host, or give --base-embedding-length in its place", err, client.Host())
	}
	return nil
}
