package learn

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// The values of Loop.Resume beside the path of a checkpoint.
const (
	// ResumeAuto goes on from the folder's last checkpoint, and begins anew where there is none.
	ResumeAuto = "auto"
	// ResumeNever begins anew, and refuses a folder that was trained in.
	ResumeNever = "never"
)

// ErrTrained says that a folder holds a run although a new one was to begin.
var ErrTrained = errors.New("it holds a run already: choose another folder, remove it, or go on with --resume auto")

// resume reads the checkpoint to go on from into l.state, says which folder it lies in, and takes back what the run's folder
// recorded after it, or reports that there is none and makes a new state.
func (l *Loop) resume() (found bool, dir string, err error) {
	path, own, err := l.checkpoint()
	if err != nil {
		return false, "", err
	}
	var s State
	err = run.LoadCheckpoint(path, &s)
	switch {
	case errors.Is(err, fs.ErrNotExist) && own && filepath.Base(path) == LastCheckpoint:
		l.state = State{Base: l.Base}
		return false, "", nil
	case err != nil:
		return false, "", err
	case s.Base != l.Base:
		return false, "", fmt.Errorf("%s was trained on another model (%s, d %d, %s) than %s is now (%s, d %d, %s): set model to that one",
			path, s.Base.Architecture, s.Base.EmbeddingLength, s.Base.Digest, l.Config.Model, l.Base.Architecture, l.Base.EmbeddingLength, l.Base.Digest)
	}
	if own {
		err = l.Folder.Rewind(s.Records)
	} else {
		err = s.moveTo(l.Config.Episodes)
	}
	l.state = s
	return true, filepath.Dir(path), err
}

// checkpoint is the file to go on from, and whether it is one of the folder's own.
func (l *Loop) checkpoint() (path string, own bool, err error) {
	last := l.Folder.Path(LastCheckpoint)
	path, own = last, true
	if l.Resume != "" && l.Resume != ResumeAuto && l.Resume != ResumeNever {
		path = l.Resume
		if own, err = inFolder(path, l.Folder.Dir()); err != nil {
			return "", false, err
		}
	}
	if l.Resume != ResumeNever && own {
		return path, own, nil
	}
	switch _, err := os.Stat(last); {
	case err == nil:
		return "", false, fmt.Errorf("%s: %w", l.Folder.Dir(), ErrTrained)
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, err
	}
	return path, own, nil
}

// moveTo makes the state of another folder that of a run of so many episodes in this one: what was recorded and which
// checkpoint was best stay there.
func (s *State) moveTo(episodes int) error {
	if s.Episodes >= episodes {
		return fmt.Errorf("the checkpoint has %d episodes behind it and episodes is %d: raise it", s.Episodes, episodes)
	}
	s.Best, s.Records = Validation{Reward: math.Inf(-1)}, nil
	return nil
}

// inFolder reports whether path lies in dir itself.
func inFolder(path, dir string) (bool, error) {
	file, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	folder, err := filepath.Abs(dir)
	return filepath.Dir(file) == folder, err
}
