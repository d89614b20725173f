//! Digests of hash files that Debian's `veritysetup` 2.6.1 made.
//!
//! The data of a vector is SHA256("<id>:<i>") for i = 0, 1, … one after the
//! other, cut to size; the hash file has its superblock, with the UUID below, at
//! offset 0. To make them again:
//! `veritysetup format --hash=… --data-block-size=… --hash-block-size=…
//! --salt=… --uuid=12345678-1234-1234-1234-123456789abc data hash`.

use sha2::{Digest, Sha256};
use uuid::Uuid;
use verity::{BuildOptions, Memory, Params, Superblock, VerifyOptions, build, verify};

const UUID: Uuid = Uuid::from_u128(0x1234_5678_1234_1234_1234_1234_5678_9abc);
const SALT: &str = "e48da609055204e89ae53b655ca2216dd983cf3cb829f34f63a297d106d53e2d";

struct Vector {
    id: &'static str,
    data_bytes: usize,
    algorithm: &'static str,
    data_block_size: u32,
    hash_block_size: u32,
    salt: &'static str,
    root_hash: &'static str,
    hash_file_sha256: &'static str,
    hash_file_bytes: usize,
}

const VECTORS: [Vector; 7] = [
    Vector {
        id: "vp1",
        data_bytes: 4096,
        algorithm: "sha256",
        data_block_size: 4096,
        hash_block_size: 4096,
        salt: "-",
        root_hash: "c6e901bc43a94f662f993225d8060c6a1ebd21f2dff86d134ebcea2c08f9e936",
        hash_file_sha256: "c0dee99db6e65e0165b92868889ac2becf39e4ea6ccfa77821e0bcaa09737dfd",
        hash_file_bytes: 4096,
    },
    Vector {
        id: "vp2",
        data_bytes: 524_288,
        algorithm: "sha256",
        data_block_size: 4096,
        hash_block_size: 4096,
        salt: SALT,
        root_hash: "6489915d01b6efed6f32b67f04078c91e6bcad2466916394842b7b71158f9328",
        hash_file_sha256: "b8f4fe5d1720bd28f98face588c57a12544c91ad233d158ae02a3647d58bbf4a",
        hash_file_bytes: 8192,
    },
    Vector {
        id: "vp3",
        data_bytes: 528_384,
        algorithm: "sha256",
        data_block_size: 4096,
        hash_block_size: 4096,
        salt: SALT,
        root_hash: "201dfc0063f2cffac88aa35edfe8ece3b21313b15ff05e0d3f1ca08ba3eada68",
        hash_file_sha256: "c292e16032f9bb1f76d2fdc8cf1afbb9260a3c649e50e5fde15ccfcd1cc14add",
        hash_file_bytes: 16_384,
    },
    Vector {
        id: "vp4",
        data_bytes: 67_112_960,
        algorithm: "sha256",
        data_block_size: 4096,
        hash_block_size: 4096,
        salt: SALT,
        root_hash: "d3f5179907bec727eadd5269d8fd37627d390990ccc27452e0b0a724df2edea4",
        hash_file_sha256: "6ce818dc295e5adece74bbad4ae4d3f64a4fb76ec0f0d1fac2874f691c1a2d17",
        hash_file_bytes: 544_768,
    },
    Vector {
        id: "vp5",
        data_bytes: 1_048_576,
        algorithm: "sha512",
        data_block_size: 4096,
        hash_block_size: 4096,
        salt: SALT,
        root_hash: "b2da63e6dc4da401a6ea5e485d088faf93a570318be027f4c66a0fc6be32b8c0\
                    d83aa258e7dcea44119c434fdd6b5628fc76787ef80e1136f6c20aedd153a658",
        hash_file_sha256: "055121020ae884165f47d804bbca747c2a15d14df24f3c476bc66ab1d55cfe40",
        hash_file_bytes: 24_576,
    },
    Vector {
        id: "vp6",
        data_bytes: 1_048_576,
        algorithm: "sha256",
        data_block_size: 512,
        hash_block_size: 512,
        salt: SALT,
        root_hash: "b062b563ed9167f578f075a72282191dab6080010426823a729169543658614d",
        hash_file_sha256: "47f98df4ac6fdafcc521d0c3daafde87c60882b5623747cf9fe8d6c3c532439f",
        hash_file_bytes: 70_656,
    },
    Vector {
        id: "vp7",
        data_bytes: 1_048_576,
        algorithm: "sha256",
        data_block_size: 1024,
        hash_block_size: 4096,
        salt: "dadada",
        root_hash: "424c73991776157264298c330321d8ae6efa46b043e0fdbe417ca607e4f79528",
        hash_file_sha256: "a7bd6f250728da6f47d5ceb8a026f3f7fd3a95ac744636eec891b53a1c0df641",
        hash_file_bytes: 40_960,
    },
];

#[test]
fn hash_files_are_those_of_veritysetup() {
    for vector in &VECTORS {
        let params = Params {
            algorithm: vector.algorithm.parse().unwrap(),
            data_block_size: vector.data_block_size.try_into().unwrap(),
            hash_block_size: vector.hash_block_size.try_into().unwrap(),
            salt: vector.salt.parse().unwrap(),
        };
        let data: Vec<u8> = (0..vector.data_bytes.div_ceil(32))
            .flat_map(|i| Sha256::digest(format!("{}:{i}", vector.id)))
            .take(vector.data_bytes)
            .collect();
        let data_blocks = params.data_blocks(data.len() as u64).unwrap();
        let hash = Memory::default();
        let options = BuildOptions::default();

        let root = build(&data, data_blocks, &hash, 0, Some(UUID), &params, &options).unwrap();
        let hash = hash.into_bytes();
        assert_eq!(root.to_string(), vector.root_hash, "{}", vector.id);
        assert_eq!(hash.len(), vector.hash_file_bytes, "{}", vector.id);
        assert_eq!(hex::encode(Sha256::digest(&hash)), vector.hash_file_sha256, "{}", vector.id);

        let superblock = Superblock::parse(hash.first_chunk().unwrap()).unwrap();
        let expected = Superblock { uuid: UUID, params: params.clone(), data_blocks };
        assert_eq!(superblock, expected, "{}", vector.id);
        verify(&data, data_blocks, &hash, 1, &root, &params, &VerifyOptions::default()).unwrap();
    }
}
