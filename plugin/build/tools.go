//go:build tools

package main

// These imports keep modules in go.mod and go.sum that no Go file of ours needs.
import (
	_ "github.com/gen2brain/malgo"         // only its miniaudio.h is used, out of the module cache
	_ "github.com/stretchr/testify/assert" // for Ollama's own tests, see -test-upstream
	_ "github.com/stretchr/testify/require"
)
