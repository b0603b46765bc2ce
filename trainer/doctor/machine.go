package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ollama/ollama/format"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
)

// Machine says how much is left of what a run takes.
type Machine struct {
	// Memory is what can still be had without swapping, in bytes.
	Memory func() (uint64, error)
	// Disk is what can still be written below a folder that exists, in bytes.
	Disk func(path string) (uint64, error)
}

// ThisMachine asks the operating system.
func ThisMachine() Machine {
	return Machine{
		Memory: func() (uint64, error) {
			v, err := mem.VirtualMemory()
			if err != nil {
				return 0, err
			}
			return v.Available, nil
		},
		Disk: func(path string) (uint64, error) {
			u, err := disk.Usage(path)
			if err != nil {
				return 0, err
			}
			return u.Free, nil
		},
	}
}

// What a run takes, in bytes.
const (
	trainerBase = 150 << 20 // the program, prompts, replies of a batch
	otherFiles  = 64 << 20  // metrics, samples, events
	// Each parameter that is trained has its value, its gradient and Adam's two
	// moments, and while it is saved a copy of all but the gradient; a target's has
	// its value and the copy.
	trainedMemory, targetMemory = 16 + 12, 4 + 4
	trainedFile, targetFile     = 12, 4
	// A batch's decisions keep their features as float32; a reply has about this
	// many decisions a token.
	decisionsToken = 1.5
	// A replayed decision keeps its features as float16 and some numbers; a quarter
	// of the buffer is in reserve.
	replayedDecision = 32
)

// unknownWidth is the embedding length of a model that no server describes: a
// large one's.
const unknownWidth = 4096

// inputs is the number of features.
func (e *examination) inputs() int {
	return proxy.Config{Features: e.config.Proxy.Features, EmbeddingLength: cmp.Or(e.model.EmbeddingLength, unknownWidth)}.InputLength()
}

// learning estimates the bytes that the networks, and what they learn from, take in
// memory and in the run folder: two checkpoints and the one that is being written,
// and the exported proxy.
func (e *examination) learning() (memory, files int64) {
	c, inputs := e.config, e.inputs()
	actor := c.Proxy.Parameters(inputs, 2)
	trained, targets, buffer := actor+c.Proxy.Parameters(inputs, 1), int64(0), int64(0)
	if c.Algorithm == config.SAC {
		critics := 2 * c.Proxy.Parameters(inputs, 2)
		trained, targets = actor+critics, critics
		buffer = min(int64(c.SAC.BufferBytes), int64(c.SAC.BufferSize)/3*4*int64(replayedDecision+2*inputs))
	}
	memory = trainedMemory*trained + targetMemory*targets
	files = 3*(trainedFile*trained+targetFile*targets) + 4*actor + buffer
	if !c.SAC.BufferSpill {
		memory += buffer
	}
	return memory, files
}

// checkMemory compares what the run needs with what was available before the
// model was loaded.
func (e *examination) checkMemory(available uint64, err error) {
	if err != nil {
		e.report.add(Warn, "memory", "none is needed", "nobody says how much memory is available: %v", err)
		return
	}
	c := e.config
	batch := decisionsToken * float64(c.BatchSize) * float64(c.Tokens) * 4 * float64(e.inputs())
	learning, _ := e.learning()
	need := uint64(trainerBase + learning + int64(batch))
	what := fmt.Sprintf("the trainer takes about %s", format.HumanBytes2(need))
	if e.server != nil && e.model.Bytes > 0 {
		slots := uint64(e.parallel) * uint64(c.Ollama.ContextLength)
		cache := slots * uint64(e.model.CacheBytes)
		server := uint64(e.model.Bytes) + cache + cache/4 // and as much again as its graphs take
		need += server
		what += fmt.Sprintf(", the server about %s, of which %d slots × %d tokens of cache %s", format.HumanBytes2(server), e.parallel, c.Ollama.ContextLength, format.HumanBytes2(cache))
	}
	found := fmt.Sprintf("%s; %s available", what, format.HumanBytes2(available))
	remedy := "lower ollama.parallel, ollama.context_length, batch_size or proxy.hidden_sizes; with SAC also sac.buffer_bytes"
	switch {
	case need > available:
		e.report.add(Fail, "memory", remedy, "%s", found)
	case float64(need) > 0.8*float64(available):
		e.report.add(Warn, "memory", remedy, "%s", found)
	default:
		e.report.ok("memory", "%s", found)
	}
}

// checkDisk compares what a run folder takes with what is free where it lies.
func (e *examination) checkDisk() {
	dir := e.config.RunFolder()
	existing, err := nearest(dir)
	if err != nil {
		e.report.add(Fail, "disk", "set run to a folder that can be made", "%s: %v", dir, err)
		return
	}
	if err := writable(existing); err != nil {
		e.report.add(Fail, "disk", "set run to a folder that may be written in", "%v", err)
		return
	}
	free, err := e.machine.Disk(existing)
	if err != nil {
		e.report.add(Warn, "disk", "none is needed", "%s: nobody says how much is free: %v", dir, err)
		return
	}
	_, files := e.learning()
	need := uint64(otherFiles + files)
	found := fmt.Sprintf("%s takes about %s; %s free", dir, format.HumanBytes2(need), format.HumanBytes2(free))
	switch {
	case need > free:
		e.report.add(Fail, "disk", "free some, or set run to a folder on another disk", "%s", found)
	case 2*need > free:
		e.report.add(Warn, "disk", "free some: a run that finds the disk full stops", "%s", found)
	default:
		e.report.ok("disk", "%s", found)
	}
}

// nearest is the folder itself, or the one above it that exists.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a folder", dir)
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		dir = filepath.Dir(filepath.Clean(dir))
	}
}

// writable tries: permissions alone do not tell.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".proxy-trainer-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
