import {defineConfig, type Options} from 'tsup';

const library = {
  index: 'src/index.ts',
  'llama/index': 'src/llama/index.ts',
  'kernels/cpu/index': 'src/kernels/cpu/index.ts',
  'kernels/tensorflow/index': 'src/kernels/tensorflow/index.ts',
  'kernels/wasm/index': 'src/kernels/wasm/index.ts',
  'kernels/webgpu/index': 'src/kernels/webgpu/index.ts',
};

// Dependencies and peers stay imports. Shared chunks (splitting) keep one copy of every class and of the
// kernels' state, however many of the entries a program loads.
const common: Options = {
  target: 'es2022',
  dts: {entry: library, compilerOptions: {ignoreDeprecations: '6.0'}},
  skipNodeModulesBundle: true,
  splitting: true,
  sourcemap: true,
};

// The command line is a program and no module to load: it is built once.
export default defineConfig([
  {...common, entry: {...library, 'cli/main': 'src/cli/main.ts'}, format: 'esm'},
  {...common, entry: library, format: 'cjs'},
]);
