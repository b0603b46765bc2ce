package run

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRewind(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	add := func(name string, values ...any) {
		t.Helper()
		for _, v := range values {
			if err := f.AppendJSON(name, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	add("a.jsonl", "one\ntwo", 2)
	add("other.jsonl", 1)
	mark, err := f.Mark("a.jsonl", "b.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Mark{{"a.jsonl", 2}, {"b.jsonl", 0}}, mark); d != "" {
		t.Fatalf("mark −want +got\n%s", d)
	}
	add("a.jsonl", 3)
	add("b.jsonl", 4)
	add("other.jsonl", 5)
	for range 2 { // the second time there is nothing to cut
		if err := f.Rewind(mark); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"a.jsonl": "\"one\\ntwo\"\n2\n", "b.jsonl": "", "other.jsonl": "1\n5\n"} {
			if got := read(t, f.Path(name)); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	// Of lines that somebody took away there is nothing to cut.
	if err := f.Rewind(Mark{{"other.jsonl", 3}, {"c.jsonl", 1}}); err != nil {
		t.Error(err)
	}
	if got := read(t, f.Path("other.jsonl")); got != "1\n5\n" {
		t.Errorf("other.jsonl is %q, want it as it was", got)
	}
	wantError(t, f.Rewind(Mark{{"../c.jsonl", 0}}), "is no name for a file")
}
