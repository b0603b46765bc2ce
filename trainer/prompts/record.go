package prompts

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Values of a record's "split".
const (
	splitTrain = "train"
	splitTest  = "test"
)

// keys are tried in this order where none is named.
var keys = []string{"prompt", "messages", "instruction", "text", "chosen"}

// record is a prompt and where its record wants it to go.
type record struct {
	Prompt
	split string // "", splitTrain or splitTest
}

// parse reads one record. The key "" detects.
func parse(raw []byte, key string) (record, error) {
	fields, key, err := fieldsOf(raw, key)
	if err != nil {
		return record{}, err
	}
	turns, err := conversation(fields[key], key)
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", key, err)
	}
	if key == "instruction" {
		if turns, err = withInput(turns, fields["input"]); err != nil {
			return record{}, err
		}
	}
	r := record{}
	if r.Prompt, err = newPrompt(turns); err != nil {
		return record{}, fmt.Errorf("%s: %w", key, err)
	}
	if r.split, err = split(fields["split"]); err != nil {
		return record{}, err
	}
	if !absent(fields["label"]) {
		r.Label = fields["label"]
	}
	if r.ID, err = id(fields["id"]); err != nil {
		return record{}, err
	}
	if r.ID == "" {
		h := r.hash()
		r.ID = hex.EncodeToString(h[:8])
	}
	return r, nil
}

// fieldsOf returns the record's fields and the key of its prompt. A bare string
// is a record with nothing else.
func fieldsOf(raw []byte, key string) (map[string]json.RawMessage, string, error) {
	if raw[0] == '"' {
		return map[string]json.RawMessage{"prompt": raw}, "prompt", nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, "", fmt.Errorf("want a JSON object or string: %w", err)
	}
	try := keys
	if key != "" {
		try = []string{key}
	}
	for _, k := range try {
		if !absent(fields[k]) {
			return fields, k, nil
		}
	}
	return nil, "", fmt.Errorf("no prompt under %s; the record has %q: name the key of the prompt",
		strings.Join(try, ", "), slices.Sorted(maps.Keys(fields)))
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || bytes.Equal(raw, []byte("null")) }

// Turns reads a conversation that is the text of an HH-RLHF dialogue or a list of
// messages, as JSON; any other text is one turn of the user.
func Turns(raw json.RawMessage) ([]Message, error) {
	if absent(raw) {
		return nil, errors.New("no text and no messages")
	}
	return conversation(raw, "")
}

// IsDialogue reports whether JSON is the text of an HH-RLHF dialogue or a list of
// messages, which has turns, and not text without.
func IsDialogue(raw json.RawMessage) bool {
	var text string
	return !absent(raw) && (json.Unmarshal(raw, &text) != nil || strings.HasPrefix(text, hhHuman))
}

// conversation reads a prompt that is text, the text of an HH-RLHF dialogue, or
// a list of messages. Under chosen, text that is not a dialogue is a reply alone.
func conversation(raw json.RawMessage, key string) ([]Message, error) {
	switch raw[0] {
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
		if strings.HasPrefix(text, hhHuman) {
			return dialogue(text), nil
		}
		if key == "chosen" {
			return nil, fmt.Errorf("want a dialogue that starts with %q; name the key of the prompt if this is a reply", hhHuman)
		}
		return []Message{{"user", text}}, nil
	case '[':
		var turns []Message
		if err := json.Unmarshal(raw, &turns); err != nil {
			return nil, fmt.Errorf("want messages, each with role and content as strings: %w", err)
		}
		return turns, nil
	}
	return nil, fmt.Errorf("want text or a list of messages, not %.40q", raw)
}

// Marks of turns in the text of a dialogue of anthropics/hh-rlhf.
const (
	hhHuman     = "\n\nHuman:"
	hhAssistant = "\n\nAssistant:"
)

// dialogue takes the text of a dialogue apart. It starts with hhHuman.
func dialogue(text string) []Message {
	var turns []Message
	for text != "" {
		role, mark := "user", hhHuman
		if strings.HasPrefix(text, hhAssistant) {
			role, mark = "assistant", hhAssistant
		}
		text = text[len(mark):]
		end := len(text)
		for _, next := range []string{hhHuman, hhAssistant} {
			if i := strings.Index(text, next); i >= 0 {
				end = min(end, i)
			}
		}
		turns = append(turns, Message{role, strings.TrimSpace(text[:end])})
		text = text[end:]
	}
	return turns
}

// withInput adds what records in the form of Alpaca keep apart: the text that
// the instruction is about.
func withInput(turns []Message, raw json.RawMessage) ([]Message, error) {
	if absent(raw) {
		return turns, nil
	}
	var input string
	if err := json.Unmarshal(raw, &input); err != nil {
		return nil, fmt.Errorf("input: want text: %w", err)
	}
	if input = strings.TrimSpace(input); input != "" && len(turns) > 0 {
		turns[len(turns)-1].Content += "\n\n" + input
	}
	return turns, nil
}

// newPrompt leaves out the assistant's turns at the end, which are the reply
// that the data set holds and that an episode is to write anew.
func newPrompt(turns []Message) (Prompt, error) {
	for len(turns) > 0 && turns[len(turns)-1].Role == "assistant" {
		turns = turns[:len(turns)-1]
	}
	if len(turns) == 0 {
		return Prompt{}, errors.New("no turn of the user")
	}
	lines := make([]string, len(turns))
	for i, t := range turns {
		if t.Role != "system" && t.Role != "user" && t.Role != "assistant" {
			return Prompt{}, fmt.Errorf("message %d: unknown role %q; want system, user or assistant", i+1, t.Role)
		}
		lines[i] = t.Role + ": " + t.Content
	}
	last := turns[len(turns)-1]
	if last.Role != "user" {
		return Prompt{}, fmt.Errorf("the conversation ends with a turn of %s; it must end with one of the user", last.Role)
	}
	text := strings.TrimSpace(last.Content)
	if text == "" {
		return Prompt{}, errors.New("empty prompt; remove the record")
	}
	if len(turns) == 1 {
		return Prompt{Text: text}, nil
	}
	return Prompt{Text: strings.Join(lines, "\n\n"), Messages: turns}, nil
}

func split(raw json.RawMessage) (string, error) {
	if absent(raw) {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || (s != splitTrain && s != splitTest) {
		return "", fmt.Errorf("split: %.40s; want %q or %q", raw, splitTrain, splitTest)
	}
	return s, nil
}

// id accepts text and whole numbers.
func id(raw json.RawMessage) (string, error) {
	if absent(raw) {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return "", fmt.Errorf("id: %.40s; want text or a number", raw)
	}
	return n.String(), nil
}
