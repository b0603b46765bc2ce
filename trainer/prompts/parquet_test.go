package prompts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixture returns a file that testdata/write_parquet.py has written.
func fixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Files as PyArrow writes them: every compression and kind of column that data sets of prompts have.
func TestParquet(t *testing.T) {
	for _, tc := range []struct {
		file, key string
		want      []Prompt
		heldOut   []string
	}{
		{"text.parquet", "", []Prompt{
			{Text: "Größe?", ID: "df0f839defcbaa44"},
			{Text: "What is rain?", ID: "7", Label: json.RawMessage(`{"answer":1.5,"tags":["a","b"]}`)},
		}, []string{"What is snow?"}},
		{"messages.parquet", "", []Prompt{
			{Text: "Hello", ID: "80dcdb0418e97a2e"},
			{Text: "system: Be brief.\n\nuser: Tea or coffee?", Messages: []Message{{"system", "Be brief."}, {"user", "Tea or coffee?"}}},
		}, nil},
		{"pairs.parquet", "", []Prompt{
			{Text: "What is rain?"},
			{Text: "user: Hello\n\nassistant: Hi.\n\nuser: Tea?", Messages: []Message{{"user", "Hello"}, {"assistant", "Hi."}, {"user", "Tea?"}}},
		}, nil},
		{"pairs.parquet", "rejected", []Prompt{
			{Text: "What is rain?"},
			{Text: "user: Hello\n\nassistant: Hi.\n\nuser: Tea?", Messages: []Message{{"user", "Hello"}, {"assistant", "Hi."}, {"user", "Tea?"}}},
		}, nil},
	} {
		t.Run(tc.file, func(t *testing.T) {
			train, heldOut, err := Load(Options{Path: filepath.Join("testdata", tc.file), Key: tc.key})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(train, func(a, b Prompt) int { return strings.Compare(a.Text, b.Text) })
			slices.SortFunc(tc.want, func(a, b Prompt) int { return strings.Compare(a.Text, b.Text) })
			for i := range tc.want {
				if tc.want[i].ID == "" && i < len(train) {
					tc.want[i].ID = train[i].ID // TestID
				}
			}
			if diff := cmp.Diff(tc.want, train); diff != "" {
				t.Errorf("train (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.heldOut, append([]string(nil), texts(heldOut)...)); diff != "" {
				t.Errorf("held out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParquetErrors(t *testing.T) {
	whole := fixture(t, "text.parquet")
	for _, tc := range []struct{ name, in, key, want string }{
		{"cut", whole[:len(whole)/2], "", "p.parquet: the Parquet file is damaged"},
		{"only the magic", "PAR1", "", "p.parquet: the Parquet file is damaged"},
		{"a damaged page", whole[:40] + strings.Repeat("\xff", 40) + whole[80:], "", "p.parquet: row 1: the Parquet file is damaged"},
		{"no key", whole, "question", `p.parquet: row 1: no prompt under question; the record has ["id" "label" "prompt" "score" "split" "unused"]: name the key`},
		{"another type", whole, "label", "p.parquet: row 1: label: want text or a list of messages"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Load(Options{Path: write(t, "p.parquet", []byte(tc.in)), Key: tc.key})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, tc.want)
			}
		})
	}
}
