package wire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// The server's endpoints for a trainer. Both answer only where the server was started with [RolloutVariable].
const (
	// StatesPath answers a reply with the LLM's final hidden states at it ([StatesReply]).
	StatesPath = "/api/proxy/states"
	// TokensPath answers prompts with what the LLM is sent for them ([TokensReply]).
	TokensPath = "/api/proxy/tokens"
)

// Vector is numbers that go over the wire as base64 of little-endian float32.
type Vector []float32

// MarshalJSON keeps every bit.
func (v Vector) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return json.Marshal(raw)
}

// UnmarshalJSON refuses what is not a whole number of float32.
func (v *Vector) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("vector: want base64 of little-endian float32: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("vector: want base64 of little-endian float32: %w", err)
	}
	if len(raw)%4 != 0 {
		return fmt.Errorf("vector: %d bytes are no whole number of float32", len(raw))
	}
	*v = make(Vector, len(raw)/4)
	for i := range *v {
		(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}

// States sums up the LLM's final hidden states (the input of its output matrix, after the final norm) at the tokens of a reply,
// d values each.
//
// The state at a token is that of the pass that the token was fed to. The tokens are those of the reply's text: the
// end-of-turn token never counts. A generated reply counts the passes that decoding it took anyway: the last token of a reply
// that was cut off at its length, or by a stop string, was never fed with a prefix proxy and is left out; with a lookahead proxy
// every token was. A reply without a counted token has the state that it was begun from, at the prompt's last token, as both
// Mean and Last.
type States struct {
	Mean Vector `json:"mean"`
	Last Vector `json:"last"` // at the last token that counts
	// Tokens is how many count.
	Tokens int `json:"tokens"`
}

// StatesReply is the answer of [StatesPath].
type StatesReply struct {
	States
	// PromptTokens is the length of what came before the reply, as far as it was fed.
	PromptTokens int `json:"prompt_tokens"`
	// Cut counts the tokens at the beginning, of the prompt first and then of the reply, that did not fit the context.
	Cut int `json:"cut"`
	// Digest is the LLM's file, "sha256:…"; EmbeddingLength is d.
	Digest          string `json:"digest"`
	EmbeddingLength int    `json:"embedding_length"`
}

// RunnerStates is what the server asks its runner for: the states at reply, given after prompt.
type RunnerStates struct {
	Prompt string `json:"prompt"` // as the template made it
	Reply  string `json:"reply"`
	// Limit is how many of the reply's tokens are fed at most, from its first on; 0 is all.
	Limit int `json:"limit,omitempty"`
}

// TokensReply is the answer of [TokensPath], in the order of the inputs.
type TokensReply struct {
	Results []Rendered `json:"results"`
}

// Rendered is a prompt as the LLM is sent it.
type Rendered struct {
	// Prompt is the text that the model's template makes of it.
	Prompt string `json:"prompt"`
	// Tokens is its length, what the tokenizer puts in front included.
	Tokens int `json:"tokens"`
}
