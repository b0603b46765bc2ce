package sampler

import (
	"encoding/binary"
	"math"
	"testing"
)

// floats reads any bytes as float32 logits, NaN and infinities included.
func floats(b []byte) []float32 {
	logits := make([]float32, len(b)/4)
	for i := range logits {
		logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return logits
}

func bytesOf(logits []float32) []byte {
	var b []byte
	for _, v := range logits {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// usable says whether a pool can be built, the obvious way.
func usable(logits []float32) bool {
	any := false
	for _, v := range logits {
		if v != v || v == posInf {
			return false
		}
		any = any || v > negInf
	}
	return any
}

func addSeeds(f *testing.F) {
	for _, logits := range [][]float32{
		nil, {1}, {negInf, negInf}, {1, nan}, {posInf, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		logs(6, 3, 1), textLogits(1, 30), {3e38, -3e38, 1e-45}, {negInf, 2, 2, negInf, 1, 1, 1, 0, -1, -2},
	} {
		f.Add(bytesOf(logits), 0.8, 0, 0.9, 0.0, 0.01, 0)
		f.Add(bytesOf(logits), 1.0, 3, 1.0, 0.05, 0.1, 2)
	}
}

func FuzzPool(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, temperature float64, topK int, topP, minP, pt float64, maxRejections int) {
		logits := floats(b)
		o := Options{temperature, topK, topP, minP, pt, maxRejections}
		var p Pool
		err := p.Build(logits, o)
		if want := o.Validate() == nil && usable(logits); (err == nil) != want {
			t.Fatalf("%v, %+v: error %v, want success %v", logits, o, err, want)
		}
		if err == nil {
			checkPool(t, &p, logits, o)
		}
	})
}

func FuzzWalk(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, temperature float64, topK int, topP, minP, pt float64, maxRejections int) {
		var p Pool
		if p.Build(floats(b), Options{temperature, topK, topP, minP, pt, maxRejections}) != nil {
			return
		}
		checkWalk(t, &p)
		if n := p.Rejections(); maxRejections > 0 && n > maxRejections {
			t.Fatalf("%d rejections, at most %d wanted", n, maxRejections)
		}
		total := 0.0
		for i, c := range p.Candidates() {
			if total += c.Prob; i > 0 && c.Prob > p.Candidates()[i-1].Prob {
				t.Fatalf("candidate %d is more probable than the one before", i)
			}
		}
		if math.Abs(total-1) > 1e-12 {
			t.Fatalf("the probabilities sum to %v", total)
		}
	})
}
