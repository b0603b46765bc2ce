package prompts

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// Prompt is what one episode starts from.
type Prompt struct {
	// Text is the prompt as text; never empty. Of a conversation it is the turns
	// as "role: content" with blank lines between them, for logs and for rewards
	// that read the prompt.
	Text string
	// Messages is the conversation, which ends with a turn of the user; nil for
	// a prompt that is a single turn of the user. See Chat.
	Messages []Message
	// Label is the record's "label" as JSON, for rewards; nil if it has none.
	Label json.RawMessage
	// ID is the record's "id", or else the first 16 hexadecimal digits of the
	// prompt's hash.
	ID string
}

// Chat returns the conversation to send to a model: Messages, or Text as the
// only turn.
func (p Prompt) Chat() []Message {
	if len(p.Messages) > 0 {
		return p.Messages
	}
	return []Message{{Role: "user", Content: p.Text}}
}

// hash identifies the conversation; ID, label and form of the record play no
// part in it.
func (p Prompt) hash() [sha256.Size]byte {
	var buf []byte
	for _, m := range p.Chat() {
		for _, s := range []string{m.Role, m.Content} {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(len(s)))
			buf = append(buf, s...)
		}
	}
	return sha256.Sum256(buf)
}

// Options says what to load. Only Path is needed.
type Options struct {
	// Path is the file.
	Path string `mapstructure:"path" yaml:"path"`
	// Key is where a record holds its prompt, as text or as messages. "" takes,
	// record by record, the first of prompt, messages, instruction, text and
	// chosen that is there.
	Key string `mapstructure:"key" yaml:"key,omitempty"`
	// Limit is how many prompts to train on at most, the first ones after the
	// shuffle; 0 is all.
	Limit int `mapstructure:"limit" yaml:"limit,omitempty"`
	// MaxCharacters leaves out prompts of more characters (Unicode code points
	// of Text); 0 leaves out none.
	MaxCharacters int `mapstructure:"max_characters" yaml:"max_characters,omitempty"`
	// MaxTokens leaves out prompts that the model sees as more tokens, those of
	// its chat template among them; 0 leaves out none. The paper has 256. Only
	// [Pool.Select] can apply it, since only a server can count.
	MaxTokens int `mapstructure:"max_tokens" yaml:"max_tokens,omitempty"`
	// Seed orders the prompts to train on. It changes neither which they are
	// (but for Limit) nor the held-out ones.
	Seed uint64 `mapstructure:"seed" yaml:"seed,omitempty"`
	// HoldOut is how many prompts to hold out: records of split "test", and of
	// those without a split the share Reserve. 0 reserves nothing and holds out
	// every record of split "test".
	HoldOut int `mapstructure:"hold_out" yaml:"hold_out,omitempty"`
	// Reserve is the share of prompts without a split that is kept from training
	// when HoldOut is above 0, chosen by the hash of each; 0 is DefaultReserve.
	// It must yield HoldOut prompts. Those beyond HoldOut are not used at all:
	// the price of a division in which no added record moves another one from
	// one side to the other.
	Reserve float64 `mapstructure:"reserve" yaml:"reserve,omitempty"`
}

// DefaultReserve is the share of prompts kept from training.
const DefaultReserve = 0.1

// Validate names the first field that is wrong.
func (o Options) Validate() error {
	switch {
	case o.Path == "":
		return errors.New("prompts: path: empty; name a file of prompts in JSON Lines or Parquet")
	case o.Limit < 0:
		return fmt.Errorf("prompts: limit: %d is below 0", o.Limit)
	case o.MaxCharacters < 0:
		return fmt.Errorf("prompts: max_characters: %d is below 0", o.MaxCharacters)
	case o.MaxTokens < 0:
		return fmt.Errorf("prompts: max_tokens: %d is below 0", o.MaxTokens)
	case o.HoldOut < 0:
		return fmt.Errorf("prompts: hold_out: %d is below 0", o.HoldOut)
	case !(o.Reserve >= 0 && o.Reserve < 1): // NaN too
		return fmt.Errorf("prompts: reserve: %v; want a share from 0 to below 1", o.Reserve)
	}
	return nil
}

// Load reads the file, divides it and takes what the options say: [Read] and
// [Pool.Select], for who has no server. MaxTokens must be 0.
func Load(o Options) (train, heldOut []Prompt, err error) {
	pool, err := Read(o)
	if err != nil {
		return nil, nil, err
	}
	return pool.Select(context.Background(), Need{}, nil)
}

// isHeldOut looks at this record alone, never at its place or its company.
func (r record) isHeldOut(hash [sha256.Size]byte, o Options) bool {
	if r.split != "" {
		return r.split == splitTest
	}
	if o.HoldOut == 0 {
		return false
	}
	// The first eight bytes of a hash are uniform in [0, 2⁶⁴).
	u := float64(binary.BigEndian.Uint64(hash[:8])) / math.MaxUint64
	return u < cmp.Or(o.Reserve, DefaultReserve)
}

// order sorts prompts by a hash of salt and prompt: a shuffle that does not
// depend on the order before it. Prompts are distinct, so no two are equal.
func order(ps []Prompt, salt []byte) {
	type keyed struct {
		key [sha256.Size]byte
		p   Prompt
	}
	ks := make([]keyed, len(ps))
	for i, p := range ps {
		h := p.hash()
		ks[i] = keyed{sha256.Sum256(slices.Concat(salt, h[:])), p}
	}
	slices.SortFunc(ks, func(a, b keyed) int { return slices.Compare(a.key[:], b.key[:]) })
	for i, k := range ks {
		ps[i] = k.p
	}
}
