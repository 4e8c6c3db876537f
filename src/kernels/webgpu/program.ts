import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend, WebGPUProgram} from '@tensorflow/tfjs-backend-webgpu';

/** What a kernel of the webgpu backend is called with. */
export interface KernelArgs<Inputs, Attrs = object> {
  inputs: Inputs;
  backend: WebGPUBackend;
  attrs: Attrs;
}

/** A tensor that a program reads as a flat array called `name`. */
export interface Input {
  name: string;
  tensor: tf.TensorInfo;
  /** Numbers in an element of the array: 4 makes it an array of `vec4`. */
  components: 1 | 4;
}

/** A number that a program reads as `uniforms.name`. */
export interface Uniform {
  name: string;
  type: 'f32' | 'i32';
  value: number;
}

/** One dispatch: a WGSL program and what it runs on. */
export interface Dispatch<Variant extends object> {
  name: string;
  /** Everything that the code depends on: programs of the same name and variant are compiled once. */
  variant: Variant;
  /** WGSL with a function `main`, or `main(index : i32)` for one thread per element of the output. */
  code: (variant: Variant) => string;
  inputs: Input[];
  uniforms: Uniform[];
  output: {shape: number[]; dtype: 'float32' | 'int32'; components: 1 | 4};
  workgroupSize: [x: number, y: number, z: number];
  /** Undefined: as many as needed for one thread per element of the output; `uniforms.size` is their number. */
  workgroups?: [x: number, y: number, z: number];
}

/** Runs a program. Returns its output, a new tensor that is not read back. Inputs that are not on the device are copied there. */
export function dispatch<Variant extends object>(
  backend: WebGPUBackend,
  {output, inputs, uniforms, ...options}: Dispatch<Variant>,
): tf.TensorInfo {
  const {shape, dtype} = output;
  const size = tf.util.sizeFromShape(shape);
  const program = new Program({output, inputs, uniforms, ...options}, size);
  const {dataId} = backend.runWebGPUProgram(
    program,
    inputs.map(({tensor}) => flat(tensor)),
    dtype,
    uniforms.map(({type, value}) => ({type: type === 'f32' ? 'float32' : 'int32', data: [value]})),
  );
  return {dataId, shape, dtype};
}

/** How many numbers an element of a flat array has: 4 if all sizes are multiples of four, else 1. */
export function componentsFor(...sizes: number[]): 1 | 4 {
  return sizes.every((size) => size % 4 === 0) ? 4 : 1;
}

export function float(name: string, value: number): Uniform {
  return {name, type: 'f32', value};
}

export function int(name: string, value: number): Uniform {
  return {name, type: 'i32', value};
}

/** The inputs that are given. */
export function optional(
  ...inputs: Array<[name: string, tensor: tf.TensorInfo | undefined]>
): Input[] {
  return inputs.flatMap(([name, tensor]) => (tensor ? [{name, tensor, components: 1}] : []));
}

/**
 * A program without tfjs's shader code that converts between indices and coordinates of up to six axes: the programs here see all
 * tensors as flat.
 */
class Program<Variant extends object> implements WebGPUProgram {
  readonly outputShape: number[];
  readonly outputComponent: number;
  readonly variableNames: string[];
  readonly variableComponents: number[];
  readonly uniforms: string;
  readonly size: boolean;
  readonly workgroupSize: [number, number, number];
  readonly dispatchLayout: {x: number[]; y?: number[]};
  dispatch: [number, number, number];
  shaderKey: string;
  readonly getUserCode: () => string;

  constructor(
    {name, variant, code, inputs, uniforms, output, ...grid}: Dispatch<Variant>,
    size: number,
  ) {
    this.outputShape = [size];
    this.outputComponent = output.components;
    this.variableNames = inputs.map((input) => input.name);
    this.variableComponents = inputs.map(({components}) => components);
    this.uniforms = uniforms.map((uniform) => `${uniform.name} : ${uniform.type}, `).join('');
    this.size = !grid.workgroups;
    this.workgroupSize = grid.workgroupSize;
    // A layout with a y is how tfjs knows that `main` takes no index.
    this.dispatchLayout = grid.workgroups ? {x: [0], y: [0]} : {x: [0]};
    const elements = size / output.components;
    this.dispatch = grid.workgroups ?? [Math.ceil(elements / grid.workgroupSize[0]), 1, 1];
    this.shaderKey = `${name}_${JSON.stringify([variant, inputs.map((i) => i.components), output.components])}`;
    this.getUserCode = () => code(variant);
  }
}

function flat({dataId, dtype, shape}: tf.TensorInfo): tf.TensorInfo {
  return {dataId, dtype, shape: [tf.util.sizeFromShape(shape)]};
}
