/** Backends for programs of this repository, with what Node loads of this library from the start. */
import '../src/preload/in_node';

export * from './node_backend';
