import {defineConfig} from 'tsup';

const library = {
  index: 'src/index.ts',
  'llama/index': 'src/llama/index.ts',
  'kernels/cpu/index': 'src/kernels/cpu/index.ts',
  'kernels/tensorflow/index': 'src/kernels/tensorflow/index.ts',
  'kernels/wasm/index': 'src/kernels/wasm/index.ts',
  'kernels/webgpu/index': 'src/kernels/webgpu/index.ts',
};

/** What the file for a script tag takes from the global variable `tf`. */
const tfjsGlobal = `
  const tf = globalThis.tf;
  if (!tf || !tf.layers) throw new Error('tfjs-owlore: tf is not there; load @tensorflow/tfjs by a script tag before this one');
  module.exports = tf;
`;

export default defineConfig([
  // Dependencies and peers stay imports. Shared chunks (splitting) keep one copy of every class and of the
  // kernels' state, however many of the entries a program loads.
  {
    entry: {...library, node: 'src/node.ts', 'cli/main': 'src/cli/main.ts'},
    format: 'esm',
    target: 'es2022',
    dts: {entry: library, compilerOptions: {ignoreDeprecations: '6.0'}},
    skipNodeModulesBundle: true,
    splitting: true,
    sourcemap: true,
  },
  {
    entry: {'tfjs-owlore.min': 'src/script.ts'},
    format: 'iife',
    globalName: 'owlore',
    target: 'es2022',
    platform: 'browser',
    minify: true,
    noExternal: [/.*/],
    outExtension: () => ({js: '.js'}),
    esbuildPlugins: [
      {
        name: 'tfjs from a script tag',
        setup(build) {
          const filter = /^@tensorflow\/tfjs-(core|layers)$/;
          build.onResolve({filter}, ({path}) => ({path, namespace: 'global'}));
          build.onLoad({filter, namespace: 'global'}, () => ({contents: tfjsGlobal}));
        },
      },
    ],
  },
]);
