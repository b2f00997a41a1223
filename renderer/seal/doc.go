// Package seal encrypts the values of Secrets so that they may stand in Git: in
// the format of SOPS for age recipients, and in that of Bitnami Sealed Secrets.
//
// Encryption wants fresh random numbers, a tree in Git wants the same bytes for
// the same inputs. So everything that would be random is derived, by HKDF, from
// a render key and from all that the file says: its path, every key and every
// value in plain text, the recipients. One changed character changes every key,
// so that no key and nonce ever encrypt two texts; and without the render key
// nothing about a value can be told from its ciphertext, however weak it is.
// With the render key nothing decrypts either, but a guess of everything in a
// file at once can be confirmed; docs/secrets.md tells what that means.
//
// The package knows texts and keys only: no files, no Kubernetes objects.
package seal
