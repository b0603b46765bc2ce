// Package plugin is what is compiled into ollama: the tap that reads the LLM's final hidden state out of the graph, the
// gate that walks one sequence's candidates with a proxy, the proxies that are loaded, the options that ask for them, and the
// states of replies, which a trainer asks for (design §6, §7).
//
// The order of a token, from logits to reply: the patched runner hands a sequence's logits and hidden state to
// [Gate.Step]; the gate builds the pool (package sampler), asks the proxy about each candidate for which rejecting is
// allowed (package proxy), and says which token the reply gets and which one the LLM is fed next.
//
// It holds no part of Ollama and starts no pass of the LLM: patches/ has the call sites, and build/ the program that puts
// both together. It is not for the trainer, which speaks HTTP and shares only package proxy/wire with it. A Gate belongs to
// one sequence and is stepped by one goroutine at a time; a Runner and a Registry may be shared.
package plugin

// Version and PatchHash are set by the linker: our version, and the first digits of the SHA-256 of everything of ours that
// went into the binary. Both are empty in a build that plugin/build did not make.
var Version, PatchHash string

// VersionSuffix is what `ollama --version` says after Ollama's own version.
func VersionSuffix() string {
	if PatchHash == "" {
		return ""
	}
	return " (proxy-rlhf " + Version + ", patches " + PatchHash + ")"
}
