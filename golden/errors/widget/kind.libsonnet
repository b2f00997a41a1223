(import 'sound.libsonnet')
