package stats

import (
	"strings"
	"testing"
)

func TestSentences(t *testing.T) {
	for _, c := range []struct {
		name, text      string
		repeated, total int
	}{
		{"nothing", "", 0, 0},
		{"no words", " … 1. -- !", 0, 0},
		{"different", "It rains. It pours.", 0, 2},
		{"again", "It rains. It pours. It rains.", 1, 3},
		{"again and again", "It rains. It rains. It rains. It rains.", 3, 4},
		{"case, space and marks", "It rains!  it  RAINS? \"It rains\"", 2, 3},
		{"the last one has not ended", "It rains. It ra", 0, 2},
		{"lines", "- It rains\n- It pours\n- It rains\n", 1, 3},
		{"numbers of a list", "1. It rains\n2. It pours\n3. It rains\n", 1, 3},
		{"a decimal point ends nothing", "It is 3.5 metres. It is 3.6 metres.", 0, 2},
		{"other scripts", "雨が降る。雨が降る。", 1, 2},
		{"accents matter", "Où va. Ou va.", 0, 2},
		{"invalid bytes", "A\xff b. A\xff b.", 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if repeated, total := Sentences(c.text); repeated != c.repeated || total != c.total {
				t.Errorf("Sentences(%q) = %d of %d, want %d of %d", c.text, repeated, total, c.repeated, c.total)
			}
		})
	}
}

// A text said twice repeats every sentence of the second time, and fewer
// sentences are repeated than there are.
func FuzzSentences(f *testing.F) {
	f.Add("It rains. It pours.")
	f.Add("1. a\n\u2029b \xff")
	f.Fuzz(func(t *testing.T, text string) {
		repeated, total := Sentences(text)
		if repeated < 0 || repeated > max(total-1, 0) {
			t.Fatalf("Sentences(%q) = %d of %d", text, repeated, total)
		}
		twice, both := Sentences(strings.Repeat(text+"\u2029", 2)) // a paragraph's end ends the sentence as well
		if both != 2*total || twice != repeated+total {
			t.Fatalf("Sentences(%q) = %d of %d, twice %d of %d", text, repeated, total, twice, both)
		}
	})
}
