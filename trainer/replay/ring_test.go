package replay

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

const inputs = 3

// episode makes a reply of n decisions whose features float16 has exactly.
func episode(rng *rand.Rand, n int) *rl.Episode {
	e := &rl.Episode{}
	token := 0
	for range n {
		t := rl.Transition{Action: sampler.Accept, Reward: rng.NormFloat64(), Token: token}
		if rng.IntN(2) == 0 {
			t.Action = sampler.Reject
		}
		for range inputs {
			t.Features = append(t.Features, float32(rng.IntN(4096)-2048)/64)
		}
		e.Transitions = append(e.Transitions, t)
		token += rng.IntN(4)
	}
	return e
}

func open(t testing.TB, o Options) *Ring {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// obvious is a ring as one would write it down: all that was ever added, in a list.
type obvious struct {
	all   []Decision
	fs    [][]float32
	keeps int
}

func (o *obvious) add(e *rl.Episode) {
	ts := e.Transitions
	for i := range ts {
		d := Decision{Action: ts[i].Action, Reward: ts[i].Reward, Last: i == len(ts)-1}
		if !d.Last {
			d.Tokens = ts[i+1].Token - ts[i].Token
		}
		o.all, o.fs = append(o.all, d), append(o.fs, ts[i].Features)
	}
}

func (o *obvious) check(t testing.TB, r *Ring) {
	t.Helper()
	oldest := max(0, len(o.all)-o.keeps)
	if r.Len() != len(o.all)-oldest || r.Oldest() != int64(oldest) {
		t.Fatalf("%d decisions from %d on, want %d from %d on", r.Len(), r.Oldest(), len(o.all)-oldest, oldest)
	}
	got, next := make([]float32, inputs), make([]float32, inputs)
	for i := oldest; i < len(o.all); i++ {
		d, err := r.Read(int64(i), got, next)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, inputs)
		if !d.Last {
			want = o.fs[i+1]
		}
		if diff := cmp.Diff([]any{o.all[i], o.fs[i], want}, []any{d, got, next}); diff != "" {
			t.Fatalf("decision %d (-want +got):\n%s", i, diff)
		}
	}
}

// FuzzRing adds, saves, and goes back to one of the last two states as a killed run
// does, and compares with the obvious version after each.
func FuzzRing(f *testing.F) {
	f.Add(uint64(1), uint8(40), false, []byte{1, 2, 3, 200, 4, 201, 5, 6, 202, 7, 230, 3})
	f.Add(uint64(2), uint8(9), true, []byte{3, 200, 3, 200, 3, 230, 2, 2, 231, 1, 200, 1, 240})
	f.Add(uint64(3), uint8(200), true, []byte{50, 200, 50, 200, 50, 200, 50, 200, 50, 230, 50})
	f.Fuzz(func(t *testing.T, seed uint64, room uint8, spill bool, ops []byte) {
		if room < 8 || len(ops) > 64 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		o := Options{InputLength: inputs, Decisions: 1 << 20, Bytes: int64(room) * int64(recordBytes(inputs)), Path: filepath.Join(t.TempDir(), "ring"), Spill: spill}
		r := open(t, o)
		want := &obvious{keeps: r.Capacity()}
		type saved struct {
			state State
			total int
		}
		last := []saved{{State{InputLength: inputs, Slots: int64(room)}, 0}, {State{InputLength: inputs, Slots: int64(room)}, 0}}
		for _, op := range ops {
			switch {
			case op < 200: // add
				e := episode(rng, int(op)%16)
				if r.Add(e) == nil {
					want.add(e)
				}
			case op < 230: // save
				s, err := r.State()
				if err != nil {
					t.Fatal(err)
				}
				if s.Total != last[1].state.Total {
					last = []saved{last[1], {s, len(want.all)}}
				}
			default: // killed; goes on from either of the last two
				to := last[op%2]
				r.Close()
				r = open(t, o)
				if err := r.Restore(to.state); err != nil {
					t.Fatalf("back to %+v: %v", to.state, err)
				}
				want.all, want.fs = want.all[:to.total], want.fs[:to.total]
				last = []saved{to, to}
			}
			want.check(t, r)
		}
	})
}

func TestMemoryOnly(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	r := open(t, Options{InputLength: inputs, Decisions: 30, Bytes: 1 << 20})
	if r.Capacity() != 30 {
		t.Errorf("keeps %d decisions, want 30", r.Capacity())
	}
	want := &obvious{keeps: 30}
	for range 40 {
		e := episode(rng, rng.IntN(8))
		if err := r.Add(e); err != nil {
			t.Fatal(err)
		}
		want.add(e)
		want.check(t, r)
	}
	if _, err := r.Read(r.Oldest()-1, nil, nil); err == nil {
		t.Error("what has left the ring can be read")
	}
}

// The bytes are a bound: of the file, and of the memory.
func TestBytesAreABound(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const bytes = 5000
	for _, spill := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "ring")
		r := open(t, Options{InputLength: inputs, Decisions: 1 << 20, Bytes: bytes, Path: path, Spill: spill})
		for range 200 {
			if err := r.Add(episode(rng, 5)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > bytes || info.Size() < bytes*9/10 {
			t.Errorf("the file has %d bytes, want nearly %d", info.Size(), bytes)
		}
		if (r.memory == nil) != spill {
			t.Errorf("spill %v, in memory too: %v", spill, r.memory != nil)
		}
		if r.memory != nil {
			total := 0
			for _, s := range r.memory.segments {
				total += len(s)
			}
			if total > bytes {
				t.Errorf("%d bytes in memory, want at most %d", total, bytes)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	record := int64(recordBytes(inputs))
	for want, o := range map[string]Options{
		"0 features":     {Decisions: 1, Bytes: 1 << 20},
		"takes a path":   {InputLength: 1, Decisions: 1, Bytes: 1 << 20, Spill: true},
		"room for 1":     {InputLength: inputs, Decisions: 9, Bytes: record},
		"no such file":   {InputLength: 1, Decisions: 9, Bytes: 1 << 20, Path: "/nowhere/at/all"},
		"0 decisions, w": {InputLength: 1, Bytes: 1 << 20},
	} {
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", o, err, want)
		}
	}
	r := open(t, Options{InputLength: inputs, Decisions: 1 << 20, Bytes: 8 * record, Path: filepath.Join(t.TempDir(), "ring")})
	if err := r.Add(episode(rng, 3)); err == nil || !strings.Contains(err.Error(), "raise") {
		t.Errorf("a reply larger than the room beside: error %v", err)
	}
	e := episode(rng, 1)
	e.Transitions[0].Features[1] = 1e6
	if err := r.Add(e); err == nil || !strings.Contains(err.Error(), "feature 1 is 1e+06") {
		t.Errorf("a feature beyond float16: error %v", err)
	}
	for range 3 { // states at 2, 4 and 6 of 8 slots: nothing kept may go yet
		if err := r.Add(episode(rng, 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.State(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := r.Add(episode(rng, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Add(episode(rng, 1)); err == nil || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("writing over what a checkpoint refers to: error %v", err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	path := filepath.Join(t.TempDir(), "ring")
	o := Options{InputLength: inputs, Decisions: 90, Bytes: 1 << 20, Path: path}
	r := open(t, o)
	for range 5 {
		if err := r.Add(episode(rng, 4)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	for _, tc := range []struct {
		name   string
		change func(*State)
		want   string
	}{
		{"features", func(s *State) { s.InputLength++ }, "4 features"},
		{"slots", func(s *State) { s.Slots-- }, "leave its size"},
		{"kept", func(s *State) { s.Kept = s.Total + 1 }, "want 0 to 20"},
		{"beyond the end", func(s *State) { s.Total += 2 }, "damaged"},
	} {
		r := open(t, o)
		bad := s
		tc.change(&bad)
		if err := r.Restore(bad); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if r.Len() != 0 {
			t.Errorf("%s: the ring changed", tc.name)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range recordBytes(inputs) * 2 { // any byte but those that mean nothing
		if at%recordBytes(inputs) >= headerBytes || at%recordBytes(inputs) < crcAt+4 {
			damaged := append([]byte(nil), whole...)
			damaged[at] ^= 4
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := open(t, o).Restore(s); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("byte %d: error %v, want that %s is damaged", at, err, path)
			}
		}
	}
	if err := open(t, Options{InputLength: inputs, Decisions: 90, Bytes: 1 << 20}).Restore(s); err == nil {
		t.Error("restored without a file")
	}
}

// A state that the ring has gone on too far from is told apart from a damaged file.
func TestOverwritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	o := Options{InputLength: inputs, Decisions: 9, Bytes: 1 << 20, Path: filepath.Join(t.TempDir(), "ring")}
	r := open(t, o)
	var first State
	for i := range 12 {
		if err := r.Add(episode(rng, 1)); err != nil {
			t.Fatal(err)
		}
		s, err := r.State()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = s
		}
	}
	r.Add(episode(rng, 1))
	r.Add(episode(rng, 1))
	if err := open(t, o).Restore(first); !errors.Is(err, errOverwritten) {
		t.Errorf("error %v, want that it was written over", err)
	}
}

func TestHalvesAreExact(t *testing.T) {
	h := halves()
	for bits, want := range map[int]float32{0x3c00: 1, 0xc000: -2, 0x0001: 5.9604645e-08, 0x7bff: 65504} {
		if h[bits] != want {
			t.Errorf("%#x is %v, want %v", bits, h[bits], want)
		}
	}
	if !math.IsInf(float64(h[0x7c00]), 1) {
		t.Error("0x7c00 is not infinite")
	}
}
