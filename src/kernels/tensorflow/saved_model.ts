import {PbfWriter} from 'pbf';
import {NativeType, type Attributes, type NodeBackend} from './native_ops';
import type {Graph, GraphNode} from './recording_ops';

/** Graphs that TensorFlow has loaded together. */
export interface LoadedModel {
  id: number;
  binding: NodeBackend['binding'];
  /** How many of its graphs are in use. */
  graphs: number;
}

export interface LoadedGraph {
  model: LoadedModel;
  /** Names of its nodes, separated by commas. */
  inputs: string;
  outputs: string;
}

const TAG = 'serve';
/** The version of the graph format: that of TensorFlow 2.9. */
const PRODUCER = 1087;

/**
 * Loads graphs as one model, by way of a file in the folder for temporary files.
 *
 * @throws if there is no file system, or if TensorFlow cannot read the model.
 */
export function loadGraphs(
  binding: NodeBackend['binding'],
  graphs: readonly Graph[],
): LoadedGraph[] {
  // Not imported, because this file also goes into bundles for browsers, which lack these modules.
  const {mkdtempSync, writeFileSync, rmSync} = process.getBuiltinModule('node:fs');
  const {tmpdir} = process.getBuiltinModule('node:os');
  const {join} = process.getBuiltinModule('node:path');
  const folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-'));
  try {
    writeFileSync(join(folder, 'saved_model.pb'), encodeSavedModel(graphs));
    const id = binding.loadSavedModel(folder, TAG);
    const model = {id, binding, graphs: graphs.length};
    return graphs.map(({inputs, outputs}, graph) => ({
      model,
      inputs: inputs.map((_, i) => inputName(graph, i)).join(),
      outputs: outputs.map((_, i) => outputName(graph, i)).join(),
    }));
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
}

function inputName(graph: number, index: number): string {
  return `graph${graph}/input${index}`;
}

function outputName(graph: number, index: number): string {
  return `graph${graph}/output${index}`;
}

/*
 * The messages of TensorFlow's protocol buffers. The numbers of their fields are those of saved_model.proto, meta_graph.proto,
 * graph.proto, node_def.proto, attr_value.proto, tensor.proto and tensor_shape.proto in TensorFlow's folders tensorflow/core/
 * protobuf and tensorflow/core/framework.
 */

/** SavedModel, with one MetaGraphDef. */
function encodeSavedModel(graphs: readonly Graph[]): Uint8Array {
  const pbf = new PbfWriter();
  pbf.writeVarintField(1, 1); // the version of its format
  pbf.writeMessage(2, writeMetaGraph, graphs);
  return pbf.finish();
}

/** MetaGraphDef. */
function writeMetaGraph(graphs: readonly Graph[], pbf: PbfWriter): void {
  pbf.writeMessage(1, (tag, info) => info.writeStringField(4, tag), TAG);
  pbf.writeMessage(2, writeGraphs, graphs);
}

/** GraphDef. */
function writeGraphs(graphs: readonly Graph[], pbf: PbfWriter): void {
  graphs.forEach((graph, number) => writeGraph(graph, number, pbf));
  pbf.writeMessage(4, (version, versions) => versions.writeVarintField(1, version), PRODUCER);
}

/** The nodes of a graph; each comes after those that it reads. */
function writeGraph({inputs, outputs}: Graph, number: number, pbf: PbfWriter): void {
  const names = new Map<GraphNode, string>();
  const write = (node: GraphNode, ownName?: string): string => {
    const known = names.get(node);
    if (known !== undefined) return known;
    const sources = node.inputs.map(({node, output}) => `${write(node)}:${output}`);
    const name = ownName ?? `graph${number}/node${names.size}`;
    pbf.writeMessage(1, writeNode, {...node, name, sources});
    names.set(node, name);
    return name;
  };
  inputs.forEach((node, i) => write(node, inputName(number, i)));
  outputs.forEach((node, i) => write(node, outputName(number, i)));
}

/** NodeDef. */
function writeNode(
  {name, op, sources, attributes, value}: GraphNode & {name: string; sources: string[]},
  pbf: PbfWriter,
): void {
  pbf.writeStringField(1, name);
  pbf.writeStringField(2, op);
  for (const source of sources) pbf.writeStringField(3, source);
  const entries: AttributeEntry[] = Object.entries(attributes);
  if (value) entries.push(['value', {...value, type: attributes['dtype'] as NativeType}]);
  for (const entry of entries) pbf.writeMessage(5, writeEntry, entry);
}

type Constant = NonNullable<GraphNode['value']> & {type: NativeType};
type AttributeEntry = [name: string, value: Attributes[string] | Constant];

/** An entry of a map from names to AttrValue. */
function writeEntry([name, value]: AttributeEntry, pbf: PbfWriter): void {
  pbf.writeStringField(1, name);
  pbf.writeMessage(2, writeAttribute, value);
}

/** AttrValue. */
function writeAttribute(value: AttributeEntry[1], pbf: PbfWriter): void {
  if (value instanceof NativeType) pbf.writeVarintField(6, value.number);
  else if (typeof value === 'string') pbf.writeStringField(2, value);
  else if (typeof value === 'number') pbf.writeVarintField(3, value);
  else if (typeof value === 'boolean') pbf.writeBooleanField(5, value);
  else if ('values' in value && 'type' in value) pbf.writeMessage(8, writeTensor, value);
  else pbf.writeMessage(7, writeShape, value);
}

/** TensorProto. */
function writeTensor({values, shape, type}: Constant, pbf: PbfWriter): void {
  pbf.writeVarintField(1, type.number);
  pbf.writeMessage(2, writeShape, shape);
  pbf.writeBytesField(4, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

/** TensorShapeProto. */
function writeShape(shape: readonly number[], pbf: PbfWriter): void {
  for (const size of shape) pbf.writeMessage(2, writeSize, size);
}

function writeSize(size: number, pbf: PbfWriter): void {
  pbf.writeVarintField(1, size);
}
