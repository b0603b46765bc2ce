package preference

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// Dialogue is a reply and what came before it.
type Dialogue struct {
	Prompt []prompts.Message // ends with a turn of the user
	Reply  string            // may be empty
}

// Pair is two dialogues, mostly of one prompt, of which people preferred the first.
type Pair struct {
	Chosen, Rejected Dialogue
}

// Read reads a file of pairs: JSON Lines, a JSON array or Parquet, plain or compressed with gzip or Zstandard. A record has chosen
// and rejected, each the text of an HH-RLHF dialogue ("\n\nHuman: …\n\nAssistant: …") or a list of messages that ends with the reply;
// or each the reply alone, as text, and the prompt under prompt. Pairs of equal dialogues say nothing and are left out. Errors name
// the file and the line.
func Read(path string) ([]Pair, error) {
	pairs, err := prompts.Records(path, parse)
	if err != nil {
		return nil, fmt.Errorf("pairs: %w", err)
	}
	pairs = slices.DeleteFunc(pairs, func(p Pair) bool {
		return p.Chosen.Reply == p.Rejected.Reply && slices.Equal(p.Chosen.Prompt, p.Rejected.Prompt)
	})
	if len(pairs) == 0 {
		return nil, fmt.Errorf("pairs: %s: in every record chosen and rejected are the same", path)
	}
	return pairs, nil
}

func parse(raw []byte) (Pair, error) {
	var record struct{ Prompt, Chosen, Rejected json.RawMessage }
	if err := json.Unmarshal(raw, &record); err != nil {
		return Pair{}, fmt.Errorf("want a JSON object with chosen and rejected: %w", err)
	}
	var p Pair
	var err error
	if p.Chosen, err = dialogue(record.Prompt, record.Chosen); err != nil {
		return Pair{}, fmt.Errorf("chosen: %w", err)
	}
	if p.Rejected, err = dialogue(record.Prompt, record.Rejected); err != nil {
		return Pair{}, fmt.Errorf("rejected: %w", err)
	}
	return p, nil
}

// dialogue reads what is under chosen or rejected. With turns in it the prompt is said twice and not looked at.
func dialogue(prompt, raw json.RawMessage) (Dialogue, error) {
	if prompts.IsDialogue(raw) {
		turns, err := prompts.Turns(raw)
		if err != nil {
			return Dialogue{}, err
		}
		// Some dialogues of HH-RLHF have a reply of two turns.
		var reply []string
		for n := len(turns); n > 0 && turns[n-1].Role == "assistant"; n-- {
			reply = append([]string{turns[n-1].Content}, reply...)
		}
		if len(reply) == 0 {
			return Dialogue{}, errors.New("want a dialogue that ends with a turn of the assistant, the reply")
		}
		return whole(turns[:len(turns)-len(reply)], strings.Join(reply, "\n\n"))
	}
	var reply string
	if err := json.Unmarshal(raw, &reply); err != nil {
		return Dialogue{}, errors.New("want text or messages, there is nothing")
	}
	turns, err := prompts.Turns(prompt)
	if err != nil {
		return Dialogue{}, fmt.Errorf("it is a reply without turns, so the prompt must be under prompt: %w", err)
	}
	return whole(turns, reply)
}

// whole checks what comes before a reply.
func whole(prompt []prompts.Message, reply string) (Dialogue, error) {
	for i, m := range prompt {
		if m.Role != "system" && m.Role != "user" && m.Role != "assistant" {
			return Dialogue{}, fmt.Errorf("message %d: unknown role %q; want system, user or assistant", i+1, m.Role)
		}
	}
	if n := len(prompt); n == 0 || prompt[n-1].Role != "user" {
		return Dialogue{}, errors.New("before the reply there must be a turn of the user")
	}
	return Dialogue{Prompt: prompt, Reply: reply}, nil
}

// Digest names the pairs, "sha256:…": the same pairs in the same order have the same, whatever file they came in.
func Digest(pairs []Pair) string {
	h := sha256.New()
	for _, p := range pairs {
		h.Write(p.Chosen.key(""))
		h.Write(p.Rejected.key(""))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// key names a dialogue in a scope, such as one model's.
func (d Dialogue) key(scope string) []byte {
	// Marshalling text cannot fail.
	text, _ := json.Marshal([]any{scope, d.Prompt, d.Reply})
	sum := sha256.Sum256(text)
	return sum[:]
}

// Folds divides pairs into n for cross-validation, by nothing but their prompts: pairs with one prompt are in one fold.
func Folds(pairs []Pair, n int) []int {
	fold := make([]int, len(pairs))
	for i, p := range pairs {
		key := Dialogue{Prompt: p.Chosen.Prompt}.key("fold")
		fold[i] = (int(key[0])<<16 | int(key[1])<<8 | int(key[2])) % n
	}
	return fold
}
