package prompts

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func texts(ps []Prompt) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.Text
	}
	return out
}

// numbered is a file of n distinct prompts, none with a split.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"prompt\":\"Question %d?\"}\n", i)
	}
	return b.String()
}

func TestRecords(t *testing.T) {
	chat := []Message{{"system", "Be brief."}, {"user", "Hello"}, {"assistant", "Hi."}, {"user", "Tea or coffee?"}}
	chatText := "system: Be brief.\n\nuser: Hello\n\nassistant: Hi.\n\nuser: Tea or coffee?"
	for _, tc := range []struct {
		name, key, in string
		want          Prompt
	}{
		{"prompt", "", `{"prompt":"  Hello there\n"}`, Prompt{Text: "Hello there"}},
		{"string", "", `"Hello"`, Prompt{Text: "Hello"}},
		{"id and label", "", `{"text":"Hello","id":7,"label":{"answer":[1,2]}}`, Prompt{Text: "Hello", ID: "7", Label: json.RawMessage(`{"answer":[1,2]}`)}},
		{"id as text, label null", "", `{"text":"Hello","id":"a","label":null}`, Prompt{Text: "Hello", ID: "a"}},
		{"first key wins", "", `{"text":"B","prompt":"A"}`, Prompt{Text: "A"}},
		{"null is absent", "", `{"prompt":null,"text":"B"}`, Prompt{Text: "B"}},
		{"named key", "q", `{"prompt":"A","q":"B"}`, Prompt{Text: "B"}},
		{"alpaca", "", `{"instruction":"Translate.","input":"Guten Tag","output":"Good day"}`, Prompt{Text: "Translate.\n\nGuten Tag"}},
		{"alpaca without input", "", `{"instruction":"Say hello.","input":""}`, Prompt{Text: "Say hello."}},
		{"one message", "", `{"messages":[{"role":"user","content":"Hello"}]}`, Prompt{Text: "Hello"}},
		{"prompt as messages", "", `{"prompt":[{"role":"user","content":"Hello"}]}`, Prompt{Text: "Hello"}},
		{"reply left out", "", `{"messages":[{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi."}]}`, Prompt{Text: "Hello"}},
		{"conversation", "", `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi."},{"role":"user","content":"Tea or coffee?"}]}`,
			Prompt{Text: chatText, Messages: chat}},
		{"hh", "", `{"chosen":"\n\nHuman: What is rain?\n\nAssistant: Water.","rejected":"\n\nHuman: What is rain?\n\nAssistant: No."}`, Prompt{Text: "What is rain?"}},
		{"hh of two turns", "", `{"chosen":"\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Tea\n\nor coffee?\n\nAssistant: Tea."}`,
			Prompt{Text: "user: Hello\n\nassistant: Hi.\n\nuser: Tea\n\nor coffee?", Messages: []Message{{"user", "Hello"}, {"assistant", "Hi."}, {"user", "Tea\n\nor coffee?"}}}},
		{"hh under prompt", "", `{"prompt":"\n\nHuman: Hello\n\nAssistant:"}`, Prompt{Text: "Hello"}},
		{"chosen as messages", "", `{"chosen":[{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi."}]}`, Prompt{Text: "Hello"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			train, heldOut, err := Load(Options{Path: write(t, "p.jsonl", []byte(tc.in)), Key: tc.key})
			if err != nil {
				t.Fatal(err)
			}
			if tc.want.ID == "" {
				tc.want.ID = train[0].ID // TestID
			}
			if diff := cmp.Diff([]Prompt{tc.want}, train); diff != "" || len(heldOut) != 0 {
				t.Errorf("train (-want +got):\n%s held out: %v", diff, heldOut)
			}
			if last := train[0].Chat()[len(train[0].Chat())-1]; last.Role != "user" {
				t.Errorf("the chat ends with %v", last)
			}
		})
	}
}

// The hash decides the split, so it may never change: the expected values are
// those of an independent computation (Python's hashlib over
// len("user"), "user", len(text), text with lengths of 8 bytes, little-endian).
func TestID(t *testing.T) {
	train, _, err := Load(Options{Path: write(t, "p.jsonl", []byte(`"Hello"`+"\n"+`"Größe?"`))})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range train {
		got[p.Text] = p.ID
	}
	want := map[string]string{"Hello": "80dcdb0418e97a2e", "Größe?": "df0f839defcbaa44"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFileErrors(t *testing.T) {
	long := `{"prompt":"` + strings.Repeat("x", maxLine) + `"}`
	var truncated bytes.Buffer
	z := gzip.NewWriter(&truncated)
	z.Write([]byte(numbered(2000)))
	z.Close()
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "p.jsonl: no records"},
		{"blank", "\n \n", "p.jsonl: no records"},
		{"not JSON", "{\"prompt\":\"a\"}\n\n{prompt}\n", "p.jsonl:3: want a JSON object"},
		{"number", "\n\n7\n", "p.jsonl:3: want a JSON object"},
		{"no key", `{"question":"a","x":1}`, `p.jsonl:1: no prompt under prompt, messages, instruction, text, chosen; the record has ["question" "x"]`},
		{"prompt is a number", `{"prompt":1}`, "p.jsonl:1: prompt: want text or a list"},
		{"empty prompt", `{"prompt":" "}`, "p.jsonl:1: prompt: empty prompt"},
		{"role", `{"messages":[{"role":"human","content":"a"}]}`, `p.jsonl:1: messages: message 1: unknown role "human"`},
		{"ends with system", `{"messages":[{"role":"system","content":"a"}]}`, "ends with a turn of system"},
		{"only a reply", `{"messages":[{"role":"assistant","content":"a"}]}`, "no turn of the user"},
		{"no messages", `{"messages":[]}`, "no turn of the user"},
		{"parts", `{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, "content as strings"},
		{"chosen is a reply", `{"chosen":"Sure!"}`, "p.jsonl:1: chosen: want a dialogue"},
		{"split", `{"prompt":"a","split":"dev"}`, `p.jsonl:1: split: "dev"; want "train" or "test"`},
		{"id", `{"prompt":"a","id":[1]}`, "p.jsonl:1: id: [1]; want"},
		{"input", `{"instruction":"a","input":3}`, "p.jsonl:1: input: want text"},
		{"array, record", "\n[\n{\"prompt\":\"a\"},\n\n{\"prompt\":\"b\",\n\"split\":3}\n]", "p.jsonl:5: split"},
		{"array, syntax", "[\n\"a\",\n{]", "p.jsonl:2: record 2 of the array"},
		{"array, unfinished", "[\n\"a\"\n", "p.jsonl:"},
		{"array, more", "[\"a\"]\n[\"b\"]", "more after the end"},
		{"gzip cut", truncated.String()[:truncated.Len()/2], "unexpected EOF"},
		{"gzip header", "\x1f\x8b" + strings.Repeat("\x00", 10), "p.jsonl: gzip: invalid header"},
		{"zstd", "\x28\xb5\x2f\xfdxx", "p.jsonl: "},
		{"long line", "\"a\"\n" + long, "p.jsonl:2: line of more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Load(Options{Path: write(t, "p.jsonl", []byte(tc.in))})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, _, err := Load(Options{Path: filepath.Join(t.TempDir(), "none")}); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("missing file: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestContainers(t *testing.T) {
	const lines = "{\"prompt\":\"a\"}\r\n{\"prompt\":\"b\"}\n\n{\"prompt\":\"a\"}\n{\"prompt\":\"c\"}"
	gz := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.Bytes()
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"lines":                 []byte(lines),
		"byte order mark":       []byte("\ufeff\n" + lines),
		"array":                 []byte(" [ {\"prompt\":\"b\"},\n\"a\", {\"text\":\"c\"}]\n "),
		"gzip":                  gz(lines),
		"gzip of two":           append(gz(lines[:33]), gz(lines[33:])...),
		"gzip of an array":      gz(`["a","b","c","b"]`),
		"zstd":                  enc.EncodeAll([]byte(lines), nil),
		"zstd of several reads": enc.EncodeAll([]byte(strings.Repeat(lines+"\n", 5000)), nil),
	} {
		t.Run(name, func(t *testing.T) {
			train, _, err := Load(Options{Path: write(t, "anything", data)})
			if err != nil {
				t.Fatal(err)
			}
			got := texts(train)
			slices.Sort(got)
			if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{}, "path"},
		{Options{Path: "p", Limit: -1}, "limit"},
		{Options{Path: "p", MaxCharacters: -1}, "max_characters"},
		{Options{Path: "p", MaxTokens: -1}, "max_tokens"},
		{Options{Path: "p", HoldOut: -1}, "hold_out"},
		{Options{Path: "p", Reserve: 1}, "reserve"},
		{Options{Path: "p", Reserve: -.1}, "reserve"},
	} {
		if err := tc.o.Validate(); err == nil || !strings.HasPrefix(err.Error(), "prompts: "+tc.want+":") {
			t.Errorf("%+v: %v, want %s", tc.o, err, tc.want)
		}
		if _, _, err := Load(tc.o); err == nil {
			t.Errorf("%+v: Load does not validate", tc.o)
		}
	}
}

// An added record moves no other from one side to the other, wherever it is
// added, and the seed changes the order to train in and nothing else.
func TestDivisionIsStable(t *testing.T) {
	base := strings.SplitAfter(strings.TrimSpace(numbered(400)), "\n")
	side := func(lines []string, o Options) (train, heldOut []string) {
		t.Helper()
		o.Path = write(t, "p.jsonl", []byte(strings.Join(lines, "")))
		a, b, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		return texts(a), texts(b)
	}
	o := Options{HoldOut: 20, Seed: 1}
	train, heldOut := side(base, o)
	if len(heldOut) != 20 || len(train) < 320 || len(train) > 380 {
		t.Fatalf("%d train, %d held out", len(train), len(heldOut))
	}

	for i := range 40 {
		more := slices.Insert(slices.Clone(base), i*10, fmt.Sprintf("\"An added one, number %d\"\n", i))
		train2, heldOut2 := side(more, o)
		for _, p := range train2 {
			if slices.Contains(heldOut, p) {
				t.Errorf("%q moved to train", p)
			}
		}
		for _, p := range heldOut2 {
			if slices.Contains(train, p) {
				t.Errorf("%q moved to held out", p)
			}
		}
	}

	reversed := slices.Clone(base)
	slices.Reverse(reversed)
	reversed[0] += "\n"
	train3, heldOut3 := side(reversed, o)
	if diff := cmp.Diff([][]string{train, heldOut}, [][]string{train3, heldOut3}); diff != "" {
		t.Errorf("the file's order matters:\n%s", diff)
	}

	train4, heldOut4 := side(base, Options{HoldOut: 20, Seed: 2})
	if diff := cmp.Diff(heldOut, heldOut4); diff != "" {
		t.Errorf("the seed changes what is held out:\n%s", diff)
	}
	if slices.Equal(train, train4) {
		t.Error("the seed does not change the order")
	}
	slices.Sort(train4)
	sorted := slices.Sorted(slices.Values(train))
	if !slices.Equal(sorted, train4) {
		t.Error("the seed changes what is trained on")
	}

	limited, _ := side(base, Options{HoldOut: 20, Seed: 1, Limit: 50})
	if diff := cmp.Diff(train[:50], limited); diff != "" {
		t.Errorf("limit:\n%s", diff)
	}
	_, ten := side(base, Options{HoldOut: 10})
	if diff := cmp.Diff(heldOut[:10], ten); diff != "" {
		t.Errorf("the first ten held out:\n%s", diff)
	}
	if all, none := side(base, Options{}); len(all) != 400 || len(none) != 0 {
		t.Errorf("without hold-out: %d and %d", len(all), len(none))
	}
}

func TestExplicitSplit(t *testing.T) {
	in := `{"prompt":"a","split":"test"}
{"prompt":"b","split":"train"}
{"prompt":"c","split":"test"}
{"prompt":"b","split":"test"}
{"prompt":"dddddd"}`
	path := write(t, "p.jsonl", []byte(in))
	load := func(o Options) (train, heldOut []string, err error) {
		o.Path = path
		a, b, err := Load(o)
		train, heldOut = texts(a), texts(b)
		slices.Sort(train)
		slices.Sort(heldOut)
		return train, heldOut, err
	}
	train, heldOut, err := load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"b", "dddddd"}, {"a", "c"}}, [][]string{train, heldOut}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if train, heldOut, err = load(Options{HoldOut: 1, MaxCharacters: 5}); err != nil || len(heldOut) != 1 || !slices.Equal(train, []string{"b"}) {
		t.Errorf("hold out 1 of 2: %v, %v, %v", train, heldOut, err)
	}
	if _, _, err = load(Options{HoldOut: 5, Reserve: 1e-9}); err == nil || !strings.Contains(err.Error(), "want 5 prompts, but only 2 of 4 are reserved") {
		t.Errorf("hold out 5 of 2: %v", err)
	}
	if _, _, err = Load(Options{Path: write(t, "p", []byte(`"long"`)), MaxCharacters: 3}); err == nil || !strings.Contains(err.Error(), "at most 3 characters") {
		t.Errorf("all too long: %v", err)
	}
}

// The demo's prompts.
func TestDemoPrompts(t *testing.T) {
	train, heldOut, err := Load(Options{Path: "../../configs/prompts.jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	if len(train) != 751 || len(heldOut) != 192 {
		t.Errorf("%d train and %d held out; want 751 and 192 distinct ones", len(train), len(heldOut))
	}
}

func FuzzRead(f *testing.F) {
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	z.Write([]byte("{\"prompt\":\"a\"}\n\"b\""))
	z.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "[", "[]", "[\"a\",{\"text\":\"b\"}]", "{\"prompt\":\"a\",\"split\":\"test\",\"id\":3,\"label\":[]}\n{\"text\":\"b\"}",
		`{"chosen":"\n\nHuman: a\n\nAssistant: b\n\nHuman:\n\nAssistant:"}`, "\ufeff\n\n\"a\"",
		`{"messages":[{"role":"system","content":""},{"role":"user","content":"a"}]}`, `{"instruction":"a","input":"b"}`,
		gz.String(), string(enc.EncodeAll([]byte(`["a"]`), nil)),
		fixture(f, "text.parquet"), fixture(f, "messages.parquet"), fixture(f, "pairs.parquet"),
	} {
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		records, err := read(bytes.NewReader(data), key)
		if err != nil {
			if records != nil || !strings.HasPrefix(err.Error(), ":") {
				t.Fatalf("records %v with error %q", records, err)
			}
			return
		}
		if len(records) == 0 {
			return
		}
		pool, err := divide(records, Options{HoldOut: 1, Reserve: .5})
		if err != nil {
			return
		}
		train, heldOut, err := pool.Select(t.Context(), Need{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(train)+len(heldOut) > len(records) || len(heldOut) != 1 {
			t.Fatalf("%d and %d of %d", len(train), len(heldOut), len(records))
		}
		seen := map[string]bool{}
		for _, p := range slices.Concat(train, heldOut) {
			chat := p.Chat()
			id := fmt.Sprintf("%q", chat)
			if strings.TrimSpace(p.Text) == "" || chat[len(chat)-1].Role != "user" || seen[id] {
				t.Fatalf("bad or double prompt %+v", p)
			}
			seen[id] = true
			if len(p.Label) > 0 && !json.Valid(p.Label) {
				t.Fatalf("label %q", p.Label)
			}
		}
	})
}
