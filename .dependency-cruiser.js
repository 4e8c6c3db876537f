/**
 * Which folder may import which: what docs/architecture.md promises. `npm run lint` holds the code to it. A folder that is not named
 * here may import nothing, so that a new one gets its line.
 */

/** Of the repository, each with those before it that it may import. */
const folders = {
  src: [],
  tools: ['src'],
  demo: ['src', 'tools'],
  bench: ['src', 'tools'],
  test: ['src', 'tools', 'demo', 'bench'],
  scripts: ['src', 'tools', 'test'],
};

/** Of src: folders, and `main` for the modules at its top. */
const sources = {
  tfjs: [],
  common: [], // what is loaded on demand comes by `import()`
  files: ['common'],
  kernels: ['common', 'tfjs'],
  model: ['common', 'tfjs', 'files', 'kernels'],
  tape: ['common', 'tfjs', 'kernels'],
  // three wings, none of which knows another: adapters, language models, and the method
  lora: ['common', 'tfjs', 'files', 'kernels', 'model', 'tape'],
  llama: ['common', 'tfjs', 'files', 'kernels', 'model', 'tape'],
  owlore: ['common', 'tfjs', 'files', 'kernels', 'model', 'tape'],
  checkpoint: ['common', 'tfjs', 'files', 'kernels', 'model', 'owlore'],
  preload: ['tfjs', 'kernels', 'llama', 'owlore'],
  main: ['common', 'files', 'kernels', 'model', 'tape', 'lora', 'owlore', 'checkpoint'],
  memory: [
    ...['common', 'tfjs', 'files', 'kernels', 'model', 'tape', 'lora', 'llama', 'owlore', 'main'],
  ],
  // a program over all of it, for pages
  worker: [
    ...['common', 'tfjs', 'files', 'kernels', 'model', 'tape', 'lora', 'llama', 'owlore'],
    ...['checkpoint', 'main', 'memory'],
  ],
  entries: ['lora', 'llama', 'main', 'preload', 'worker'],
  cli: [
    ...['common', 'tfjs', 'files', 'kernels', 'model', 'tape', 'lora', 'llama', 'owlore'],
    ...['checkpoint', 'main', 'memory', 'preload'],
  ],
};

/** Of src/owlore: folders and the module between them, and `main` for the optimizer and the callback at its top. */
const method = {
  scores: [],
  optimizer: [],
  sampling_plan: ['optimizer'],
  sampling: ['scores', 'sampling_plan'],
  main: ['scores', 'optimizer', 'sampling_plan', 'sampling'],
};

/** Of bench. */
const benchFolders = {
  results: [],
  harness: [],
  contenders: ['harness'],
  groups: ['results', 'harness', 'contenders'],
  compare: ['results', 'harness'],
  tables: ['results', 'harness', 'contenders', 'groups', 'compare'],
  commands: ['results', 'harness', 'contenders', 'groups', 'tables', 'compare'],
};

/** What of the Hub is for Node; the rest is for pages, too. */
const hubOfNode = 'llama/hub/(cache|download|hub_source|settings)[.]ts$';

/** A pattern of what belongs to a unit of src. */
function inSources(name) {
  return name === 'main' ? '^src/[^/]+[.]ts$' : `^src/${name}/`;
}

/** A pattern of what belongs to a unit of src/owlore. */
function inMethod(name) {
  if (name === 'main') return '^src/owlore/(?!sampling_plan[.])[^/]+[.]ts$';
  return name === 'sampling_plan' ? `^src/owlore/${name}[.]ts$` : `^src/owlore/${name}/`;
}

/** One rule for each unit: of all that `within` has, it imports itself and what is listed. */
function onlyListed(units, within, patternOf) {
  const names = Object.keys(units);
  return Object.entries(units).map(([name, allowed], i) => {
    // So there is no cycle of folders.
    const above = allowed.find((other) => !names.slice(0, i).includes(other));
    if (above) throw new Error(`${name} may not import ${above}, which does not stand before it`);
    return ruleOf(name, allowed);
  });

  function ruleOf(name, allowed) {
    return {
      name: `${within || 'folders'}: ${name}`,
      comment: `may import ${allowed.join(', ') || 'nothing else'}`,
      severity: 'error',
      from: {path: patternOf(name)},
      to: {
        path: within ? `^${within}/` : `^(${names.join('|')})/`,
        pathNot: [name, ...allowed].map(patternOf),
        // What is loaded when it is needed is no part of what needs it.
        dependencyTypesNot: ['dynamic-import'],
      },
    };
  }
}

export default {
  forbidden: [
    ...onlyListed(folders, '', (name) => `^${name}/`),
    ...onlyListed(sources, 'src', inSources),
    ...onlyListed(method, 'src/owlore', inMethod),
    ...onlyListed(benchFolders, 'bench', (name) => `^bench/${name}/`),
    {
      name: 'unknown folder',
      comment: 'needs a line in .dependency-cruiser.js that says what it may import',
      severity: 'error',
      from: {
        path: '^(src|bench)/[^/]+/',
        pathNot: [
          ...Object.keys(sources).map(inSources),
          ...Object.keys(benchFolders).map((name) => `^bench/${name}/`),
        ],
      },
      to: {},
    },
    {
      name: 'no cycles',
      comment: 'of modules, those that only a type or an `import()` closes included',
      severity: 'error',
      from: {},
      to: {circular: true},
    },
    {
      name: 'nothing of Node in a browser',
      comment:
        'modules of Node are for cli/, what of llama/hub/ is not for pages, and memory/limit; elsewhere they come by importNode, when they are needed',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: `^src/(cli/|${hubOfNode}|memory/limit[.]ts$|files/(folder_lock|own_files)[.]ts$)`,
      },
      // `events` is the npm package of that name, which bundlers find
      to: {
        dependencyTypes: ['core'],
        dependencyTypesNot: ['type-only', 'type-import'],
        pathNot: '^events$',
      },
    },
    {
      name: 'nothing of the Hub in a browser',
      comment:
        'the cache that Python has, locks of folders and files of one folder alone are for Node: preload/llama provides them there',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: `^src/(${hubOfNode}|cli/|preload/llama[.]ts$|files/folder_lock[.]ts$)`,
      },
      to: {
        path: `^src/(${hubOfNode}|files/(folder_lock|own_files)[.]ts$)`,
        dependencyTypesNot: ['type-only', 'type-import'],
      },
    },
    {
      name: "a backend's inside",
      comment: 'is known to kernels/ alone; cli/ and worker/ register backends',
      severity: 'error',
      from: {path: '^src/', pathNot: '^src/(kernels|cli|tfjs)/|^src/worker/backend[.]ts$'},
      to: {path: '@tensorflow/tfjs-(backend|node)'},
    },
    {
      name: 'no tape in the step',
      comment:
        'the step takes gradients from anybody, in each form; only the option `gradientCheckpointing` is about the tape',
      severity: 'error',
      from: {path: '^src/owlore/optimizer/', pathNot: '^src/owlore/optimizer/options[.]ts$'},
      to: {path: '^src/tape/', pathNot: '^src/tape/(factored_)?gradient[.]ts$'},
    },
    {
      name: 'no architecture in the scores',
      comment: 'a kernel says itself which products of matrices are in it (kernels/products)',
      severity: 'error',
      from: {path: '^src/owlore/scores/'},
      to: {path: '^src/kernels/llama/'},
    },
    {
      name: 'tests are programs',
      comment: 'are imported by nothing',
      severity: 'error',
      from: {},
      to: {path: '_test[.]ts$'},
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: {fileName: 'tsconfig.json'},
    doNotFollow: {path: 'node_modules'},
    exclude: {path: '^src/kernels/wasm/assembly/|^demo/(web/)?(node_modules|dist)/'},
  },
};
