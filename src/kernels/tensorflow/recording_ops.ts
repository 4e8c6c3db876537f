import type {NativeInputs} from './kernel';
import {NativeOps, NativeType, type Attributes, type Native, type NodeBackend} from './native_ops';

/** An op of a graph. */
export interface GraphNode {
  op: string;
  /** Outputs of other nodes. */
  inputs: Array<{node: GraphNode; output: number}>;
  attributes: Attributes;
  /** The value of a constant. */
  value?: {values: Float32Array | Int32Array; shape: readonly number[]};
}

/** A computation: from placeholders to nodes with one output each. */
export interface Graph {
  inputs: GraphNode[];
  outputs: GraphNode[];
}

/** Runs ops as its base class does, and records them. */
export class RecordingOps extends NativeOps {
  /** The inputs, which are to be read instead of those given: each is known apart, even if now one tensor is given for two. */
  readonly inputs: NativeInputs;
  private readonly sources = new Map<Native, GraphNode['inputs'][number]>();
  private readonly placeholders: GraphNode[];

  /** @param shapes Those of the inputs in the graph, where −1 stands for any length. */
  constructor(
    backend: NodeBackend,
    inputs: NativeInputs,
    shapes: Readonly<Record<string, readonly number[]>>,
  ) {
    super(backend);
    const apart = Object.entries(inputs).map(([name, x]) => [name, {...x}] as const);
    this.inputs = Object.fromEntries(apart);
    this.placeholders = apart.map(([name, x]) => {
      const attributes = {dtype: new NativeType(x.dtype), shape: shapes[name]!};
      return this.keep({op: 'Placeholder', inputs: [], attributes}, [x]);
    });
  }

  override runAll(
    op: string,
    inputs: readonly Native[],
    attributes: Attributes,
    outputs: number,
  ): Native[] {
    const results = super.runAll(op, inputs, attributes, outputs);
    this.keep({op, inputs: this.sourcesOf(inputs), attributes}, results);
    return results;
  }

  override constant(values: Float32Array | Int32Array, shape: readonly number[]): Native {
    const result = super.constant(values, shape);
    const attributes = {dtype: values instanceof Int32Array ? this.int32 : this.float32};
    this.keep({op: 'Const', inputs: [], attributes, value: {values, shape}}, [result]);
    return result;
  }

  /** A constant like any other, not a kept scalar. */
  override scalar(value: number): Native {
    return this.constant(Float32Array.of(value), []);
  }

  /** The graph that computes these results from the inputs. */
  graphOf(results: readonly Native[]): Graph {
    const outputs = results.map((x) => {
      const attributes = {T: new NativeType(x.dtype)};
      return {op: 'Identity', inputs: this.sourcesOf([x]), attributes};
    });
    return {inputs: this.placeholders, outputs};
  }

  private keep(node: GraphNode, results: readonly Native[]): GraphNode {
    results.forEach((x, output) => this.sources.set(x, {node, output}));
    return node;
  }

  private sourcesOf(tensors: readonly Native[]): GraphNode['inputs'] {
    return tensors.map((x) => this.sources.get(x)!);
  }
}
