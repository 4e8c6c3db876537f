interface NodeModules {
  'node:fs/promises': typeof import('node:fs/promises');
  'node:os': typeof import('node:os');
  'node:path': typeof import('node:path');
  'node:vm': typeof import('node:vm');
}

/**
 * A module of Node, in code that a browser loads but never runs: bundlers look for what is imported.
 *
 * @throws in a browser, where somebody has given the path of a folder.
 */
export function nodeModule<Name extends keyof NodeModules>(name: Name): NodeModules[Name] {
  const node = (globalThis as {process?: Partial<NodeJS.Process>}).process;
  if (!node?.getBuiltinModule) {
    throw new Error(
      'tfjs-owlore: a path needs Node 20.19 or later; in a browser pass an http(s) URL, a FileSystemDirectoryHandle or files by name',
    );
  }
  return node.getBuiltinModule(name);
}
