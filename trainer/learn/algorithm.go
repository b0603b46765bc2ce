package learn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/ppo"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sac"
)

// BufferFile is the file of a run folder that SAC's decisions lie in.
const BufferFile = "buffer.bin"

// algorithm is what the loop needs of PPO and of SAC.
type algorithm interface {
	Exporter
	// Observe adds features to those that the policy standardises by.
	Observe(features []float32) error
	// take hands over the episodes of a batch. The error is rl.ErrNoDecisions if there is nothing in them to learn from.
	take(episodes []rl.Episode) error
	// learn makes the updates that are due and returns their metrics; without any it does nothing. After an error the
	// algorithm must be restored.
	learn(ctx context.Context) (map[string]float64, error)
	// beside says that learn may run while the next batch is rolled out with the policy from before.
	beside() bool
	// group is the number of replies to one prompt in a row.
	group() int
	// pay completes a payer with what the algorithm says of rewards.
	pay(p Payer) Payer
	// save puts the algorithm's state into s, which shares its memory: use s before it observes, takes or learns.
	save(s *State) error
	// restore goes on from s, a checkpoint in the folder dir.
	restore(s *State, dir string) error
	// close gives back what the algorithm holds.
	close() error
}

// newAlgorithm makes what the configuration asks for, untrained.
func newAlgorithm(c config.Config, inputLength int, folder *run.Folder) (algorithm, error) {
	if c.Algorithm == config.SAC {
		path := folder.Path(BufferFile)
		agent, err := sac.New(inputLength, c.SAC, path)
		return &sacAlgorithm{Agent: agent, path: path}, err
	}
	agent, err := ppo.New(inputLength, c.PPO)
	return &ppoAlgorithm{Agent: agent}, err
}

// Exporter exports a policy.
type Exporter interface {
	// Proxy returns it as a server runs it. c says everything but the hidden sizes and the activation.
	Proxy(c proxy.Config) (*proxy.Model, error)
}

// Policy returns the checkpoint's.
func (s *State) Policy() (Exporter, error) {
	switch {
	case s.PPO != nil:
		return ppo.FromState(*s.PPO)
	case s.SAC != nil:
		return sac.PolicyFromState(*s.SAC)
	}
	return nil, fmt.Errorf("the checkpoint holds no policy: it is of algorithm %q", s.Algorithm)
}

// otherAlgorithm is the error of a checkpoint that cannot be gone on from.
func otherAlgorithm(have, want string) error {
	return fmt.Errorf("the checkpoint is of a run with algorithm %s, not %s: set algorithm to %s, or start a run in another folder", have, want, have)
}

// ppoAlgorithm learns from each batch at once: what it exports next has seen it.
type ppoAlgorithm struct {
	*ppo.Agent
	batch []rl.Episode // taken and not learnt from
}

var _ algorithm = (*ppoAlgorithm)(nil)

func (a *ppoAlgorithm) take(episodes []rl.Episode) error {
	for i := range episodes {
		if len(episodes[i].Transitions) > 0 {
			a.batch = episodes
			return nil
		}
	}
	return rl.ErrNoDecisions
}

func (a *ppoAlgorithm) learn(context.Context) (map[string]float64, error) {
	if a.batch == nil {
		return nil, nil
	}
	m, err := a.Update(a.batch)
	a.batch = nil
	return m.Map(), err
}

func (a *ppoAlgorithm) beside() bool { return false }
func (a *ppoAlgorithm) group() int   { return max(a.Options().GroupSize, 1) }
func (a *ppoAlgorithm) close() error { return nil }

func (a *ppoAlgorithm) pay(p Payer) Payer {
	p.Gamma = a.Options().Gamma
	return p
}

func (a *ppoAlgorithm) save(s *State) error {
	state := a.State()
	s.Algorithm, s.PPO = config.PPO, &state
	return nil
}

func (a *ppoAlgorithm) restore(s *State, _ string) error {
	if s.PPO == nil {
		return otherAlgorithm(s.Algorithm, config.PPO)
	}
	return a.Restore(*s.PPO)
}

// sacAlgorithm learns from what it has replayed, and so while the next batch is on its way.
type sacAlgorithm struct {
	*sac.Agent
	path string
}

var _ algorithm = (*sacAlgorithm)(nil)

func (a *sacAlgorithm) take(episodes []rl.Episode) error { return a.Add(episodes) }

func (a *sacAlgorithm) learn(ctx context.Context) (map[string]float64, error) {
	if a.Due() == 0 {
		return nil, nil
	}
	m, err := a.Update(ctx)
	return m.Map(), err
}

func (a *sacAlgorithm) beside() bool { return true }
func (a *sacAlgorithm) group() int   { return 1 }
func (a *sacAlgorithm) close() error { return a.Close() }

func (a *sacAlgorithm) pay(p Payer) Payer {
	p.Gamma, p.PostBack = a.Options().Gamma, a.Options().PostBack
	return p
}

func (a *sacAlgorithm) save(s *State) error {
	state, err := a.State()
	s.Algorithm, s.SAC = config.SAC, &state
	return err
}

// restore needs the decisions too: those of another folder's checkpoint lie in that folder.
func (a *sacAlgorithm) restore(s *State, dir string) error {
	if s.SAC == nil {
		return otherAlgorithm(s.Algorithm, config.SAC)
	}
	if err := copyBuffer(a.path, filepath.Join(dir, BufferFile)); err != nil {
		return err
	}
	return a.Restore(*s.SAC)
}

// copyBuffer fills the file to with that of another run.
func copyBuffer(to, from string) (err error) {
	src, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a checkpoint of SAC goes on from the decisions beside it: %w", err)
	}
	if err != nil {
		return err
	}
	defer src.Close()
	own, err := os.OpenFile(to, os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	if same, err := sameFile(src, own); same || err != nil {
		return err
	}
	_, err = io.Copy(own, src)
	return err
}

func sameFile(a, b *os.File) (bool, error) {
	x, err := a.Stat()
	if err != nil {
		return false, err
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y), err
}
