interface NodeModules {
  'node:fs/promises': typeof import('node:fs/promises');
  'node:os': typeof import('node:os');
  'node:path': typeof import('node:path');
  'node:vm': typeof import('node:vm');
}

/** A module of Node, in code that a browser loads but never runs: bundlers look for what is imported. */
export function nodeModule<Name extends keyof NodeModules>(name: Name): NodeModules[Name] {
  return process.getBuiltinModule(name);
}
