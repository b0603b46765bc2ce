package preference

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func user(text string) prompts.Message      { return prompts.Message{Role: "user", Content: text} }
func assistant(text string) prompts.Message { return prompts.Message{Role: "assistant", Content: text} }

// Every form of a record.
func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		record string
		want   Pair
	}{
		"HH's text": {
			`{"chosen":"\n\nHuman: Tea?\n\nAssistant: Yes.\n\nHuman: Milk?\n\nAssistant: No.","rejected":"\n\nHuman: Tea?\n\nAssistant: Yes.\n\nHuman: Milk?\n\nAssistant: Go away."}`,
			Pair{
				Dialogue{[]prompts.Message{user("Tea?"), assistant("Yes."), user("Milk?")}, "No."},
				Dialogue{[]prompts.Message{user("Tea?"), assistant("Yes."), user("Milk?")}, "Go away."},
			},
		},
		"a reply of two turns, and an empty one": {
			`{"chosen":"\n\nHuman: Tea?\n\nAssistant: Yes.\n\nAssistant: Or no.","rejected":"\n\nHuman: Tea?\n\nAssistant:"}`,
			Pair{Dialogue{[]prompts.Message{user("Tea?")}, "Yes.\n\nOr no."}, Dialogue{[]prompts.Message{user("Tea?")}, ""}},
		},
		"messages, and prompts that differ": {
			`{"prompt":"not looked at","chosen":[{"role":"system","content":"Be brief."},{"role":"user","content":"Tea?"},{"role":"assistant","content":"Yes."}],"rejected":[{"role":"user","content":"Coffee?"},{"role":"assistant","content":"Yes."}]}`,
			Pair{
				Dialogue{[]prompts.Message{{Role: "system", Content: "Be brief."}, user("Tea?")}, "Yes."},
				Dialogue{[]prompts.Message{user("Coffee?")}, "Yes."},
			},
		},
		"replies beside the prompt": {
			`{"prompt":"Tea?","chosen":"Yes.","rejected":"Assistant: No."}`,
			Pair{Dialogue{[]prompts.Message{user("Tea?")}, "Yes."}, Dialogue{[]prompts.Message{user("Tea?")}, "Assistant: No."}},
		},
		"replies beside messages": {
			`{"prompt":[{"role":"user","content":"Tea?"}],"chosen":"Yes.","rejected":""}`,
			Pair{Dialogue{[]prompts.Message{user("Tea?")}, "Yes."}, Dialogue{[]prompts.Message{user("Tea?")}, ""}},
		},
	} {
		got, err := Read(write(t, "pairs.jsonl", []byte(test.record+"\n")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff([]Pair{test.want}, got); d != "" {
			t.Errorf("%s: −want +got\n%s", name, d)
		}
	}
}

// Every form of a file gives the same pairs, and the same digest.
func TestReadFiles(t *testing.T) {
	type row struct {
		Chosen   string `json:"chosen" parquet:"chosen"`
		Rejected string `json:"rejected" parquet:"rejected"`
	}
	rows := []row{
		{"\n\nHuman: Tea?\n\nAssistant: Yes.", "\n\nHuman: Tea?\n\nAssistant: No."},
		{"\n\nHuman: Tea?\n\nAssistant: Same.", "\n\nHuman: Tea?\n\nAssistant: Same."}, // says nothing
		{"\n\nHuman: Milk?\n\nAssistant: Yes.", "\n\nHuman: Milk?\n\nAssistant: No."},
	}
	var lines bytes.Buffer
	for _, r := range rows {
		if err := json.NewEncoder(&lines).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	array, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	var gz, zst, table bytes.Buffer
	z := gzip.NewWriter(&gz)
	s, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := z.Write(lines.Bytes())
	_, err2 := s.Write(lines.Bytes())
	for _, err := range []error{err1, err2, z.Close(), s.Close(), parquet.Write(&table, rows)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want, err := Read(write(t, "pairs.jsonl", lines.Bytes()))
	if err != nil || len(want) != 2 {
		t.Fatalf("%d pairs, %v", len(want), err)
	}
	for name, data := range map[string][]byte{"x.json": array, "x.gz": gz.Bytes(), "x.zst": zst.Bytes(), "x.parquet": table.Bytes()} {
		got, err := Read(write(t, name, data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" || Digest(want) != Digest(got) {
			t.Errorf("%s: −want +got\n%s", name, d)
		}
	}
	if Digest(want) == Digest(want[:1]) || Digest(want[:1]) == Digest(want[1:]) {
		t.Error("other pairs have the same digest")
	}
}

func TestReadRefuses(t *testing.T) {
	good := `{"prompt":"Tea?","chosen":"Yes.","rejected":"No."}` + "\n"
	for name, test := range map[string]struct{ text, want string }{
		"empty":          {"", "no records"},
		"no pair":        {good + `{"prompt":"Tea?"}`, "x.jsonl:2: chosen: want text or messages, there is nothing"},
		"no rejected":    {good + `{"prompt":"Tea?","chosen":"Yes."}`, "x.jsonl:2: rejected"},
		"no prompt":      {`{"chosen":"Yes.","rejected":"No."}`, "x.jsonl:1: chosen: it is a reply without turns"},
		"no reply":       {`{"chosen":"\n\nHuman: Tea?","rejected":"\n\nHuman: Tea?"}`, "ends with a turn of the assistant"},
		"no user":        {`{"chosen":[{"role":"assistant","content":"Yes."}],"rejected":"No."}`, "a turn of the user"},
		"role":           {`{"chosen":[{"role":"bot","content":"a"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected":"No."}`, `"bot"`},
		"number":         {`{"prompt":"Tea?","chosen":7,"rejected":"No."}`, "chosen"},
		"no object":      {`7`, "x.jsonl:1"},
		"nothing to say": {`{"prompt":"Tea?","chosen":"Yes.","rejected":"Yes."}`, "the same"},
	} {
		if _, err := Read(write(t, "x.jsonl", []byte(test.text))); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// Whatever a record is, it is an error or a pair of whole dialogues that survives being written as messages.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"chosen":"\n\nHuman: Tea?\n\nAssistant: Yes.","rejected":"\n\nHuman: Tea?\n\nAssistant: No."}`,
		`{"prompt":"Tea?","chosen":"Yes.","rejected":"No."}`,
		`{"prompt":[{"role":"user","content":"Tea?"}],"chosen":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected":""}`,
		`{"chosen":null,"rejected":[]}`, `[]`, `"a"`, `{"chosen":{},"rejected":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data)
		if err != nil {
			return
		}
		var record struct {
			Chosen   []prompts.Message `json:"chosen"`
			Rejected []prompts.Message `json:"rejected"`
		}
		for _, d := range []struct {
			dialogue Dialogue
			to       *[]prompts.Message
		}{{p.Chosen, &record.Chosen}, {p.Rejected, &record.Rejected}} {
			if n := len(d.dialogue.Prompt); n == 0 || d.dialogue.Prompt[n-1].Role != "user" {
				t.Fatalf("%s: a prompt of %d turns that does not end with the user's", data, n)
			}
			*d.to = append(append(*d.to, d.dialogue.Prompt...), assistant(d.dialogue.Reply))
		}
		again, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(again)
		if err != nil {
			t.Fatalf("%s → %s: %v", data, again, err)
		}
		if d := cmp.Diff(p, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: −first +second\n%s", data, d)
		}
	})
}

// Pairs with one prompt share a fold, and the folds are about equal.
func TestFolds(t *testing.T) {
	var pairs []Pair
	for i := range 1000 {
		d := Dialogue{Prompt: []prompts.Message{user(strings.Repeat("a", i/2))}, Reply: "x"}
		pairs = append(pairs, Pair{Chosen: d, Rejected: d})
	}
	fold := Folds(pairs, 5)
	count := map[int]int{}
	for i, f := range fold {
		count[f]++
		if f != fold[i/2*2] {
			t.Errorf("pair %d is in fold %d, the other one of its prompt in %d", i, f, fold[i/2*2])
		}
	}
	for f := range 5 {
		if count[f] < 140 || count[f] > 260 || len(count) != 5 {
			t.Errorf("folds of %v pairs", count)
		}
	}
}
