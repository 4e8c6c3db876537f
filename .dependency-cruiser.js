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

/** The modules at the top of src that folders may import. */
const shared = [
  ...['options', 'random', 'say_once', 'on_demand', 'sampling_plan', 'layer_sampling_options'],
  ...['preload_in_browser', 'preload', 'llama_preload', 'node', 'llama_node', 'script'],
];

/** Of src: folders, the modules above, and `main` for all other modules at its top. */
const sources = {
  options: [],
  random: ['options'],
  tfjs: [],
  say_once: ['tfjs'],
  on_demand: [], // what it loads, it loads by `import()`
  memory: ['options', 'tfjs'],
  files: ['options'],
  hub: ['options', 'files'],
  kernels: ['options', 'tfjs', 'on_demand'],
  packed: ['options', 'tfjs', 'files', 'kernels'],
  model: ['options', 'tfjs', 'packed'],
  tape: ['options', 'random', 'tfjs', 'kernels', 'model'],
  scores: ['options', 'tfjs', 'on_demand', 'packed', 'model', 'kernels'],
  sampling: ['options', 'random', 'say_once', 'scores'],
  optim: [
    ...['options', 'random', 'tfjs', 'say_once', 'on_demand', 'model', 'files', 'kernels', 'tape'],
  ],
  sampling_plan: ['options', 'optim'],
  layer_sampling_options: ['options', 'model', 'scores', 'sampling'],
  layer_sampling: [
    ...['options', 'random', 'tfjs', 'say_once', 'packed', 'model', 'scores', 'sampling'],
    ...['sampling_plan', 'layer_sampling_options'],
  ],
  lora: ['options', 'random', 'tfjs', 'packed', 'model', 'files', 'kernels', 'tape'],
  checkpoint: ['options', 'tfjs', 'packed', 'model', 'files', 'kernels', 'optim', 'layer_sampling'],
  main: [
    ...['options', 'random', 'tfjs', 'on_demand', 'model', 'memory', 'files', 'kernels', 'tape'],
    ...['scores', 'sampling', 'optim', 'sampling_plan', 'layer_sampling_options'],
    ...['layer_sampling', 'lora', 'checkpoint', 'say_once'],
  ],
  llama: [
    ...['options', 'random', 'tfjs', 'packed', 'model', 'files', 'hub', 'kernels', 'tape', 'optim'],
    'say_once',
  ],
  preload_in_browser: ['kernels', 'optim', 'scores', 'main'],
  preload: ['tfjs', 'kernels', 'optim', 'preload_in_browser'],
  llama_preload: ['hub', 'llama', 'preload'],
  node: ['lora', 'main', 'preload'],
  llama_node: ['llama', 'llama_preload'],
  script: ['lora', 'main', 'preload_in_browser'],
  estimate: [
    ...[
      'options',
      'tfjs',
      'say_once',
      'on_demand',
      'files',
      'kernels',
      'packed',
      'model',
      'memory',
    ],
    ...['tape', 'sampling', 'optim', 'layer_sampling_options', 'layer_sampling', 'lora', 'main'],
    'llama',
  ],
  report: [],
  cli: [
    ...['options', 'random', 'tfjs', 'model', 'memory', 'files', 'kernels', 'tape', 'scores'],
    ...['sampling', 'optim', 'layer_sampling_options', 'lora', 'checkpoint', 'main'],
    ...['llama', 'estimate', 'report', 'llama_preload'],
  ],
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

/** A pattern of what belongs to a unit of src. */
function inSources(name) {
  if (name === 'main') return `^src/(?!(${shared.join('|')})[.])[^/]+[.]ts$`;
  return shared.includes(name) ? `^src/${name}[.]ts$` : `^src/${name}/`;
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
        'modules of Node are for cli/, report/ and hub/; elsewhere they come by importNode, when they are needed',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/((cli|report|hub)/|files/(folder_lock|own_files)[.]ts$)',
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
        'hub/, locks of folders and files of one folder alone are for Node: llama_preload.ts provides them there',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/(hub/|cli/|llama_preload[.]ts$|files/folder_lock[.]ts$)',
      },
      to: {
        path: '^src/(hub/|files/(folder_lock|own_files)[.]ts$)',
        dependencyTypesNot: ['type-only', 'type-import'],
      },
    },
    {
      name: "a backend's inside",
      comment: 'is known to kernels/ alone; cli/ registers backends',
      severity: 'error',
      from: {path: '^src/', pathNot: '^src/(kernels|cli|tfjs)/'},
      to: {path: '@tensorflow/tfjs-(backend|node)'},
    },
    {
      name: 'no tape in the step',
      comment:
        'optim/ takes gradients from anybody, in each form; only the option `gradientCheckpointing` is about the tape',
      severity: 'error',
      from: {path: '^src/optim/', pathNot: '^src/optim/owlore_options[.]ts$'},
      to: {path: '^src/tape/', pathNot: '^src/tape/(factored_)?gradient[.]ts$'},
    },
    {
      name: 'no architecture in the scores',
      comment: 'a kernel says itself which products of matrices are in it (kernels/products)',
      severity: 'error',
      from: {path: '^src/scores/'},
      to: {path: '^src/kernels/llama_kernel_names[.]ts$'},
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
    exclude: {path: '^src/kernels/wasm/assembly/|^demo/node_modules/'},
  },
};
