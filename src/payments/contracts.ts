/** The contracts' ABIs and bytecode, for the rest of this folder. */
export { auditAbi, auditBytecode, channelsAbi, channelsBytecode, registryAbi } from "../gen/contracts.ts";
