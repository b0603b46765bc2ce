// Package env is the RL environment: the LLM as the patched ollama serves it, over HTTP. One episode is one prompt answered
// by the running server with exploration on and its decisions traced, so a proxy is trained in the decode loop that it will be
// served by.
//
//   - [Server] starts bin/ollama on a free loopback port with a model store of its own, and stops it.
//   - [Client] speaks Ollama's API: which server it is, which models there are, pushing a proxy, creating a model, a chat; and
//     what only a patched server started for a trainer has: prompts as the model is sent them, its states at a reply.
//   - [Pool] is several servers as one.
//   - [Rollout] keeps as many replies in flight as the server has slots.
//
// It is not for rewards or for learning, and it knows nothing of Gorgonia. A Client may be shared by goroutines.
package env
