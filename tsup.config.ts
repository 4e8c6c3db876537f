import {defineConfig} from 'tsup';

// Dependencies and peers stay imports. Shared chunks (splitting) keep one copy of every class and of the
// kernels' state, however many of the entries a program loads.
export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'llama/index': 'src/llama/index.ts',
    'kernels/cpu/index': 'src/kernels/cpu/index.ts',
    'kernels/tensorflow/index': 'src/kernels/tensorflow/index.ts',
    'kernels/wasm/index': 'src/kernels/wasm/index.ts',
    'kernels/webgpu/index': 'src/kernels/webgpu/index.ts',
  },
  format: ['esm', 'cjs'],
  target: 'es2022',
  dts: {compilerOptions: {ignoreDeprecations: '6.0'}},
  skipNodeModulesBundle: true,
  splitting: true,
  sourcemap: true,
  clean: true,
});
