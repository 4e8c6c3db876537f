/** Backends for programs of this repository, with what Node loads of this library from the start. */
import '../src/preload';

export * from './node_backend';
