// Package learn is the training loop: push the policy to the server, roll episodes out, pay them, update, and now and then
// validate, so that the checkpoint that is exported is the best by evaluation and not the last.
//
// It knows neither how the update works (package ppo) nor how the LLM is reached (package env), and it prints nothing: it
// reports through [Reporter]. A Loop belongs to one goroutine.
package learn
